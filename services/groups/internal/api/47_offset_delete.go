package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// OffsetDelete, version 0: offsets of topics that no member reads (KIP-496).
func (a *API) offsetDelete(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.OffsetDeleteRequest)
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	var partitions []coordinator.Partition
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, coordinator.Partition{Topic: t.Topic, Partition: p.Partition})
		}
	}
	var each []*kerr.Error
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) (e *kerr.Error) {
		e, each = c.DeleteOffsets(ctx, req.Group, partitions)
		return e
	})
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = code(e); e != nil {
		return resp, nil
	}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetDeleteResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code(each[0])
			each = each[1:]
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}
