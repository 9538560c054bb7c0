package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// OffsetForLeaderEpoch (key 23), versions 2 to 4 (KIP-101, KIP-320): where the records of an epoch end. Logs are never truncated, so
// a consumer that validates its position finds it good.

func (a *API) offsetForLeaderEpoch(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.OffsetForLeaderEpochRequest)
	resp := q.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	var places []*place
	for i := range q.Topics {
		t := &q.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		for j := range t.Partitions {
			o := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			o.Partition = t.Partitions[j].Partition
			where := a.byName(t.Topic, o.Partition)
			a.checkEpoch(where, t.Partitions[j].CurrentLeaderEpoch)
			places = append(places, where)
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
			a.epochEnd(ctx, places[n], q.Topics[i].Partitions[j].LeaderEpoch, &resp.Topics[i].Partitions[j])
			n++
		}
	}
	return resp, nil
}

// epochEnd answers one partition. An epoch that is current, though nothing was written under it yet, ends where the log does.
func (a *API) epochEnd(ctx context.Context, p *place, epoch int32, out *kmsg.OffsetForLeaderEpochResponseTopicPartition) {
	defer func() { out.ErrorCode = p.code }()
	l := a.logOf(ctx, p)
	if l == nil {
		return
	}
	wait, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := l.Confirm(wait, listFreshness); err != nil {
		a.retriable(p, "confirm before an epoch's end", err)
		return
	}
	switch current := a.topics.Info().LeaderEpoch; {
	case epoch > current || epoch < 0:
	case epoch == current:
		out.LeaderEpoch, out.EndOffset = epoch, l.Offsets(p.partition).Next
	default:
		if out.LeaderEpoch, out.EndOffset = l.EpochEnd(p.partition, epoch); out.EndOffset < 0 { // before anything was written
			out.LeaderEpoch, out.EndOffset = epoch, l.Offsets(p.partition).Next
		}
	}
}
