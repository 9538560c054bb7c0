package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/records/internal/topiclog"
)

// DeleteRecords (key 21), versions 0 to 2 (KIP-107): moves log start offsets up. An answer without an error means that the new start is
// committed; the space follows when the next retention has gone by. -1 is the high watermark; an offset below the start changes
// nothing, one behind the high watermark is OFFSET_OUT_OF_RANGE. Repeating a request is safe.

type deleteTask struct {
	place
	offset int64
	out    *kmsg.DeleteRecordsResponseTopicPartition
	log    *topiclog.Log
}

func (a *API) deleteRecords(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.DeleteRecordsRequest)
	resp := q.ResponseKind().(*kmsg.DeleteRecordsResponse)
	var tasks []*deleteTask
	var places []*place
	for i := range q.Topics {
		t := &q.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			o := &out.Partitions[j]
			o.Default()
			o.Partition, o.LowWatermark = t.Partitions[j].Partition, -1
			task := &deleteTask{place: *a.byName(t.Topic, o.Partition), offset: t.Partitions[j].Offset, out: o}
			task.checkPolicy()
			tasks, places = append(tasks, task), append(places, &task.place)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if err := a.route(r, places); err != nil {
		return nil, err
	}
	began := a.now()
	a.deleteAll(ctx, patience(q.TimeoutMillis), tasks)
	r.Waited(a.now().Sub(began))
	return resp, nil
}

// checkPolicy refuses topics whose records may only be compacted.
func (t *deleteTask) checkPolicy() {
	if t.code == 0 && !strings.Contains(t.topic.Config("cleanup.policy"), "delete") {
		t.code = kerr.PolicyViolation.Code
	}
}

// deleteAll has every partition's deletion committed, together where they share a log.
func (a *API) deleteAll(ctx context.Context, patience time.Duration, tasks []*deleteTask) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan *topiclog.Delete, len(tasks))
	byDelete := map[*topiclog.Delete]*deleteTask{}
	for _, t := range tasks {
		if t.log = a.logOf(ctx, &t.place); t.log != nil {
			d := &topiclog.Delete{Partition: t.partition, Before: t.offset, Done: done}
			byDelete[d] = t
			t.log.Delete(d)
		}
	}
	for len(byDelete) > 0 {
		select {
		case d := <-done:
			byDelete[d].settle(d)
			delete(byDelete, d)
		case <-ctx.Done():
			for d, t := range byDelete {
				t.code = kerr.RequestTimedOut.Code
				t.log.GiveUp(d)
			}
			clear(byDelete)
		}
	}
	for _, t := range tasks {
		t.out.ErrorCode = t.code
	}
}

func (t *deleteTask) settle(d *topiclog.Delete) {
	switch {
	case d.Err == nil:
		t.out.LowWatermark = d.Start
	case errors.Is(d.Err, topiclog.ErrOutOfRange):
		t.code = kerr.OffsetOutOfRange.Code
	default: // the log was closed under it
		t.code = kerr.NotLeaderForPartition.Code
	}
}
