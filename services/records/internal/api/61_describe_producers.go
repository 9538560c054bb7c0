package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// DescribeProducers (key 61), version 0 (KIP-664): the idempotent producers that a partition knows, as the holder of its log has them in
// memory. Times are those of their last batches' storage. There are no transactions.

func (a *API) describeProducers(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.DescribeProducersRequest)
	resp := q.ResponseKind().(*kmsg.DescribeProducersResponse)
	var places []*place
	for i := range q.Topics {
		t := &q.Topics[i]
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		for _, number := range t.Partitions {
			o := kmsg.NewDescribeProducersResponseTopicPartition()
			o.Partition, o.ActiveProducers = number, []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}
			places = append(places, a.byName(t.Topic, number))
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if err := a.route(r, places); err != nil {
		return nil, err
	}
	n := 0
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			a.addProducers(ctx, places[n], &resp.Topics[i].Partitions[j])
			n++
		}
	}
	return resp, nil
}

func (a *API) addProducers(ctx context.Context, p *place, out *kmsg.DescribeProducersResponseTopicPartition) {
	l := a.logOf(ctx, p)
	if out.ErrorCode = p.code; l == nil {
		if k := kerr.TypedErrorForCode(p.code); k != nil {
			out.ErrorMessage = &k.Description
		}
		return
	}
	for _, known := range l.Producers(p.partition) {
		o := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		o.ProducerID, o.ProducerEpoch, o.LastSequence, o.LastTimestamp = known.ID, int32(known.Epoch), known.LastSequence, known.Updated
		o.CoordinatorEpoch, o.CurrentTxnStartOffset = -1, -1
		out.ActiveProducers = append(out.ActiveProducers, o)
	}
}
