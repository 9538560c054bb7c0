package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// CreatePartitions, versions 0 to 3.
//
// The new partitions go into the topic's logs, whose number stays: partition p
// is in log p modulo their number. Assignments are checked and not kept.
func (a *API) createPartitions(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.CreatePartitionsRequest)
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	ctx, cancel := within(ctx, req.TimeoutMillis)
	defer cancel()
	asked := make(map[string]int)
	for i := range req.Topics {
		asked[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		var err error
		switch asked[t.Topic] {
		case 1:
			err = a.growTopic(ctx, t, req.ValidateOnly)
		case 0:
			continue // a duplicate that was told already
		default:
			asked[t.Topic] = 0
			err = refused(kerr.InvalidRequest, "Duplicate topic name.")
		}
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic = t.Topic
		rt.ErrorCode, rt.ErrorMessage = topics.Code(err)
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

func (a *API) growTopic(ctx context.Context, t *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	if err := refuseInternal(t.Topic); err != nil {
		return err
	}
	check := func(stored *cluster.Topic) error { return topics.CheckGrowth(stored, t, a.reg.Info().Brokers) }
	if !validateOnly {
		return a.admin.Grow(ctx, t.Topic, t.Count, check)
	}
	if known := a.topic(ctx, t.Topic); known != nil {
		return check(known)
	}
	return refused(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
}
