package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/assignor"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/coordinator"
)

// ConsumerGroupDescribe, versions 0 to 1: consumer groups of KIP-848. Classic
// groups are not found.
//
//	v1 the kind of each member: all are consumers
func (a *API) consumerGroupDescribe(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.ConsumerGroupDescribeRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	resp.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, len(req.Groups))
	err := a.each(r, req.Groups, func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error {
		var d consumer.Description
		switch {
		case req.Groups[i] == "":
			e = kerr.InvalidGroupID
		case e == nil:
			d, e = c.DescribeConsumer(ctx, req.Groups[i])
		}
		resp.Groups[i] = a.describedConsumer(req, req.Groups[i], &d, e)
		return e
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// kindConsumer is a member that speaks KIP-848.
const kindConsumer = 1

func (a *API) describedConsumer(req *kmsg.ConsumerGroupDescribeRequest, id string, d *consumer.Description, e *kerr.Error) kmsg.ConsumerGroupDescribeResponseGroup {
	rg := kmsg.NewConsumerGroupDescribeResponseGroup()
	rg.Group, rg.Members = id, []kmsg.ConsumerGroupDescribeResponseGroupMember{}
	if rg.AuthorizedOperations = notAsked; req.IncludeAuthorizedOperations {
		rg.AuthorizedOperations = groupOperations
	}
	if e != nil {
		rg.ErrorCode, rg.ErrorMessage = e.Code, &e.Description
		return rg
	}
	rg.State, rg.Epoch, rg.AssignmentEpoch, rg.AssignorName = string(d.State), d.Epoch, d.TargetEpoch, d.Assignor
	for i := range d.Members {
		m := &d.Members[i]
		rm := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		rm.MemberID, rm.InstanceID, rm.RackID, rm.MemberEpoch = m.ID, pointer(m.InstanceID), pointer(m.RackID), m.Epoch
		rm.ClientID, rm.ClientHost, rm.MemberType = m.ClientID, m.ClientHost, kindConsumer
		rm.SubscribedTopics, rm.SubscribedTopicRegex = m.Topics, pointer(m.Regex)
		rm.Assignment, rm.TargetAssignment = a.named(m.Assigned), a.named(m.Target)
		rg.Members = append(rg.Members, rm)
	}
	return rg
}

// named adds topics' names to an assignment; those that are gone are left out.
func (a *API) named(assignment assignor.Assignment) kmsg.Assignment {
	out := kmsg.NewAssignment()
	out.TopicPartitions = []kmsg.AssignmentTopicPartition{}
	assignment.Topics(func(id assignor.TopicID, partitions []int32) {
		if t := a.reg.TopicByID(id); t != nil {
			tp := kmsg.NewAssignmentTopicPartition()
			tp.TopicID, tp.Topic, tp.Partitions = id, t.Name, partitions
			out.TopicPartitions = append(out.TopicPartitions, tp)
		}
	})
	return out
}
