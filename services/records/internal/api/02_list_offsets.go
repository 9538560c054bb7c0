package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/topiclog"
)

// ListOffsets (key 2), versions 1 to 10.
//
//	1   one offset by timestamp: -1 latest, -2 earliest, else the first record at or after it
//	2   isolation level: read_committed knows nothing from the last stable offset on
//	4   leader epochs (KIP-320)
//	7   -3, the record with the largest timestamp (KIP-734)
//	8   -4, earliest local (KIP-405): all is local
//	9   -5, latest in tiered storage: there is none, so no offset

// Timestamps with a meaning.
const (
	latestOffset   = -1
	earliestOffset = -2
	maxTimestamp   = -3
	earliestLocal  = -4
	latestTiered   = -5
)

// listFreshness is how old the confirmation of the tail may be that an answer rests on (rule 5).
const listFreshness = 100 * time.Millisecond

type listTask struct {
	place
	timestamp int64
	committed bool
	out       *kmsg.ListOffsetsResponseTopicPartition
}

func (a *API) listOffsets(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.ListOffsetsRequest)
	resp := q.ResponseKind().(*kmsg.ListOffsetsResponse)
	var tasks []*listTask
	var places []*place
	for i := range q.Topics {
		t := &q.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			o := &out.Partitions[j]
			o.Default()
			o.Partition = t.Partitions[j].Partition
			task := &listTask{*a.byName(t.Topic, o.Partition), t.Partitions[j].Timestamp, q.IsolationLevel == readCommitted, o}
			a.checkEpoch(&task.place, t.Partitions[j].CurrentLeaderEpoch)
			task.checkVersion(q.Version)
			tasks, places = append(tasks, task), append(places, &task.place)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if err := a.route(r, places); err != nil {
		return nil, err
	}
	began := a.now()
	for _, t := range tasks {
		a.list(ctx, t)
		t.out.ErrorCode = t.code
	}
	r.Waited(a.now().Sub(began))
	return resp, nil
}

// checkVersion refuses timestamps that have a meaning only in later versions, and those that have none.
func (t *listTask) checkVersion(version int16) {
	since := int16(1)
	switch {
	case t.timestamp == maxTimestamp:
		since = 7
	case t.timestamp == earliestLocal:
		since = 8
	case t.timestamp == latestTiered:
		since = 9
	case t.timestamp < latestTiered:
		since = version + 1
	}
	if t.code == 0 && version < since {
		t.code = kerr.UnsupportedVersion.Code
	}
}

// list answers one partition. All answers of one log within a short time rest on the same confirmation.
func (a *API) list(ctx context.Context, t *listTask) {
	l := a.logOf(ctx, &t.place)
	if l == nil {
		return
	}
	wait, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := l.Confirm(wait, listFreshness); err != nil {
		a.retriable(&t.place, "confirm before listing offsets", err)
		return
	}
	ends := l.Offsets(t.partition)
	if t.committed {
		ends.Next = l.Stable(t.partition)
	}
	switch t.timestamp {
	case latestOffset:
		t.found(l, batch.Found{Offset: ends.Next, Timestamp: -1})
		t.out.LeaderEpoch = a.topics.Info().LeaderEpoch
	case earliestOffset, earliestLocal:
		t.found(l, batch.Found{Offset: ends.Start, Timestamp: -1})
	case latestTiered:
	default:
		a.listByTime(ctx, l, t)
	}
}

// listByTime looks into batches.
func (a *API) listByTime(ctx context.Context, l *topiclog.Log, t *listTask) {
	var found batch.Found
	var ok bool
	var err error
	if t.timestamp == maxTimestamp {
		found, ok, err = l.Latest(ctx, t.partition)
	} else {
		found, ok, err = l.AtOrAfter(ctx, t.partition, t.timestamp)
	}
	switch {
	case err != nil:
		a.log.Warn("offset of a timestamp could not be found; the client is told to try again", "topic", t.topic.Name, "partition", t.partition, "err", err)
		t.code = kerr.KafkaStorageError.Code
	case ok && (!t.committed || found.Offset < l.Stable(t.partition)):
		t.found(l, found)
	}
}

func (t *listTask) found(l *topiclog.Log, f batch.Found) {
	t.out.Offset, t.out.Timestamp = f.Offset, f.Timestamp
	t.out.LeaderEpoch = l.EpochOf(t.partition, f.Offset)
}
