package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/transaction"
)

// step is what a request asks of a transactional id.
type step func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error)

// decide has the coordinator of a transactional id take a step, wherever it is.
func (a *API) decide(ctx context.Context, r *handler.Request, id string, s step) (t *transaction.Transaction, e *kerr.Error, err error) {
	e, err = a.on(r, id, func(c *coordinator.Coordinator) (refused *kerr.Error) {
		t, refused = c.Decide(ctx, id, s)
		return refused
	})
	return t, e, err
}

// fenced is what versions from before PRODUCER_FENCED are told.
func fenced(e *kerr.Error, old bool) *kerr.Error {
	if e == kerr.ProducerFenced && old {
		return kerr.InvalidProducerEpoch
	}
	return e
}

// offsetsPartition is the partition of __consumer_offsets that a group's offsets
// are a transaction's as: its coordination log.
func (a *API) offsetsPartition(group string) transaction.Partition {
	return transaction.Partition{Topic: cluster.OffsetsTopicName, Partition: cluster.GroupLog(group, a.reg.Info().CoordinationLogs)}
}

// partitionOf is a topic's partition as transactions know it; false for one that
// does not exist.
func (a *API) partitionOf(topic string, partition int32) (transaction.Partition, bool) {
	p := transaction.Partition{Topic: topic, Partition: partition}
	if topic == cluster.OffsetsTopicName {
		return p, partition >= 0 && partition < a.reg.Info().CoordinationLogs
	}
	t := a.reg.Topic(topic)
	if t == nil || partition < 0 || partition >= t.Partitions {
		return p, false
	}
	p.TopicID = t.ID
	return p, true
}
