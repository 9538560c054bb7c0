package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// WriteTxnMarkers, version 1, for __consumer_offsets: offsets of a transaction
// count from now on, or are forgotten. For the cluster's own services.
func (a *API) writeTxnMarkers(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for i := range req.Markers {
		m := &req.Markers[i]
		rm := kmsg.NewWriteTxnMarkersResponseMarker()
		rm.ProducerID = m.ProducerID
		for _, t := range m.Topics {
			rt := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			rt.Topic = t.Topic
			for _, partition := range t.Partitions {
				e, err := a.endOffsets(ctx, r, t.Topic, partition, m)
				if err != nil {
					return nil, err
				}
				rt.Partitions = append(rt.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: partition, ErrorCode: code(e)})
			}
			rm.Topics = append(rm.Topics, rt)
		}
		resp.Markers = append(resp.Markers, rm)
	}
	return resp, nil
}

func (a *API) endOffsets(ctx context.Context, r *handler.Request, topic string, index int32, m *kmsg.WriteTxnMarkersRequestMarker) (*kerr.Error, error) {
	switch {
	case !r.Privileged:
		return kerr.ClusterAuthorizationFailed, nil
	case topic != cluster.OffsetsTopicName || index < 0 || index >= a.reg.Info().CoordinationLogs:
		return kerr.UnknownTopicOrPartition, nil
	}
	return a.onLog(r, index, func(c *coordinator.Coordinator) *kerr.Error { return c.EndTransaction(ctx, m.ProducerID, m.Committed) })
}
