package api

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
	"kanal/services/records/internal/topiclog"
)

// WriteTxnMarkers (key 27), version 1: a transaction's end in its partitions, from its coordinator. The coordinator's epoch is its number
// of the transaction. A marker of a transaction that has ended already is answered without an error and not written. For the cluster's
// own services.

// markerTimeout bounds how long one answer takes; the coordinator asks again.
const markerTimeout = 10_000 // milliseconds

type markerTask struct {
	place
	log    *topiclog.Log
	append topiclog.Append
	out    *kmsg.WriteTxnMarkersResponseMarkerTopicPartition
}

func (a *API) writeTxnMarkers(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.WriteTxnMarkersRequest)
	resp := q.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	var tasks []*markerTask
	var places []*place
	for i := range q.Markers {
		for _, t := range a.markerTasks(&q.Markers[i], resp) {
			if !r.Privileged {
				t.code = kerr.ClusterAuthorizationFailed.Code
			}
			tasks, places = append(tasks, t), append(places, &t.place)
		}
	}
	if err := a.route(r, places); err != nil {
		return nil, err
	}
	began := a.now()
	a.writeMarkers(ctx, tasks)
	r.Waited(a.now().Sub(began))
	return resp, nil
}

// markerTasks lays out the answer of one marker and makes its control batches.
func (a *API) markerTasks(m *kmsg.WriteTxnMarkersRequestMarker, resp *kmsg.WriteTxnMarkersResponse) (tasks []*markerTask) {
	out := kmsg.NewWriteTxnMarkersResponseMarker()
	out.ProducerID = m.ProducerID
	control := batch.NewMarker(m.ProducerID, m.ProducerEpoch, batch.Marker{Commit: m.Committed, Epoch: m.CoordinatorEpoch}, a.now().UnixMilli())
	for _, t := range m.Topics {
		rt := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
		rt.Topic, rt.Partitions = t.Topic, make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(t.Partitions))
		for i, number := range t.Partitions {
			rt.Partitions[i].Partition = number
			task := &markerTask{place: *a.byName(t.Topic, number), out: &rt.Partitions[i]}
			task.append.Partition, task.append.Batch, task.append.Number = number, control, uint32(m.CoordinatorEpoch)
			tasks = append(tasks, task)
		}
		out.Topics = append(out.Topics, rt)
	}
	resp.Markers = append(resp.Markers, out)
	return tasks
}

// writeMarkers has every partition's marker committed, together where they share a log.
func (a *API) writeMarkers(ctx context.Context, tasks []*markerTask) {
	ctx, cancel := context.WithTimeout(ctx, patience(markerTimeout))
	defer cancel()
	done := make(chan *topiclog.Append, len(tasks))
	writing := map[*topiclog.Append]*markerTask{}
	for _, t := range tasks {
		if t.log = a.logOf(ctx, &t.place); t.log != nil {
			t.append.Done = done
			writing[&t.append] = t
			t.log.Append(&t.append)
		}
	}
	for len(writing) > 0 {
		select {
		case o := <-done:
			writing[o].settle(o.Err)
			delete(writing, o)
		case <-ctx.Done():
			for _, t := range writing {
				t.code = kerr.RequestTimedOut.Code
				t.log.Cancel(&t.append)
			}
			clear(writing)
		}
	}
	for _, t := range tasks {
		t.out.ErrorCode = t.code
	}
}

func (t *markerTask) settle(err error) {
	switch {
	case err == nil:
	case errors.Is(err, producer.ErrInvalidEpoch):
		t.code = kerr.InvalidProducerEpoch.Code
	default: // the log was closed under it
		t.code = kerr.NotLeaderForPartition.Code
	}
}
