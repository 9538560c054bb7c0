package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// ElectLeaders, versions 0 to 2 (KIP-460).
//
// Nothing is ever elected: which broker leads follows from names, it is the first replica, and it can always be asked. So the preferred
// leader leads already, and an unclean election is not needed either: ELECTION_NOT_NEEDED. Asked for all partitions (null), Kafka leaves
// those out, which are all.
func (a *API) electLeaders(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.ElectLeadersRequest)
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	if req.ElectionType != 0 && req.ElectionType != 1 {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp, nil
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		found := a.topic(ctx, t.Topic)
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Topic
		for _, number := range t.Partitions {
			err := noSuchPartition(found, t.Topic, number)
			if err == nil {
				err = refused(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
			}
			rp := kmsg.NewElectLeadersResponseTopicPartition()
			rp.Partition = number
			rp.ErrorCode, rp.ErrorMessage = topics.Code(err)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// noSuchPartition refuses partitions that do not exist; t is nil for a topic that does not.
func noSuchPartition(t *cluster.Topic, name string, partition int32) error {
	switch {
	case t == nil:
		return refused(kerr.UnknownTopicOrPartition, "No such topic as "+name)
	case partition < 0 || partition >= t.Partitions:
		return refused(kerr.UnknownTopicOrPartition, "No such partition as "+name+"-"+itoa(partition))
	}
	return nil
}
