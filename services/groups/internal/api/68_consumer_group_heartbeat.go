package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/assignor"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/coordinator"
)

// ConsumerGroupHeartbeat, versions 0 to 1 (KIP-848): join, go on, leave. What a
// member is told is in the coordination log.
//
//	v0 the coordinator gives a member its id
//	v1 the member chooses its id; regular expressions of RE2 that match whole names
func (a *API) consumerGroupHeartbeat(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.ConsumerGroupHeartbeatRequest)
	if e, message := a.checkHeartbeat(req); e != nil {
		return a.heartbeatResponse(req, &consumer.Answer{Err: e, Message: message}), nil
	}
	q := readHeartbeat(r, req)
	var answer consumer.Answer
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error {
		answer = c.ConsumerHeartbeat(ctx, req.Group, q)
		return answer.Err
	})
	if err != nil {
		return nil, err
	}
	if e != answer.Err {
		answer = consumer.Answer{Err: e, Message: e.Description}
	}
	return a.heartbeatResponse(req, &answer), nil
}

// checkHeartbeat is what is wrong whatever the group's state
// (throwIfConsumerGroupHeartbeatRequestIsInvalid).
func (a *API) checkHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest) (*kerr.Error, string) {
	joins := req.MemberEpoch == consumer.JoinEpoch
	for _, c := range []struct {
		wrong   bool
		message string
	}{
		{req.Group == "", "GroupId can't be empty."},
		{req.MemberID == "" && (req.Version >= 1 || !joins), "MemberId can't be empty."},
		{req.InstanceID != nil && *req.InstanceID == "", "InstanceId can't be empty."},
		{req.RackID != nil && *req.RackID == "", "RackId can't be empty."},
		{req.MemberEpoch < consumer.StaticLeaveEpoch, "MemberEpoch is invalid."},
		{joins && req.RebalanceTimeoutMillis < 0, "RebalanceTimeoutMs must be provided in first request."},
		{joins && (req.Topics == nil || len(req.Topics) > 0), "TopicPartitions must be empty when (re-)joining."},
		{joins && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
	} {
		if c.wrong {
			return kerr.InvalidRequest, c.message
		}
	}
	if req.ServerAssignor != nil && !slices.Contains(a.settings.Assignors, *req.ServerAssignor) {
		return kerr.UnsupportedAssignor, "ServerAssignor " + *req.ServerAssignor + " is not supported. Supported assignors: " + strings.Join(a.settings.Assignors, ", ") + "."
	}
	return nil, ""
}

func readHeartbeat(r *handler.Request, req *kmsg.ConsumerGroupHeartbeatRequest) *consumer.Heartbeat {
	q := &consumer.Heartbeat{
		MemberID: req.MemberID, Epoch: req.MemberEpoch, InstanceID: req.InstanceID, RackID: req.RackID,
		ClientID: r.ClientID, ClientHost: host(r),
		Rebalance: time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond,
		Topics:    req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor,
		HasOwned: req.Topics != nil, Again: r.Redelivered,
	}
	if q.MemberID == "" {
		q.MemberID = randomID()
	}
	var owned []assignor.Partition
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			owned = append(owned, assignor.Partition{Topic: t.TopicID, Index: p})
		}
	}
	q.Owned = assignor.Of(owned...)
	return q
}

func (a *API) heartbeatResponse(req *kmsg.ConsumerGroupHeartbeatRequest, answer *consumer.Answer) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	if answer.Err != nil {
		resp.ErrorCode, resp.ErrorMessage = answer.Err.Code, &answer.Message
		return resp
	}
	resp.MemberID, resp.MemberEpoch = &answer.MemberID, answer.Epoch
	resp.HeartbeatIntervalMillis = int32(a.settings.HeartbeatInterval.Milliseconds())
	if !answer.Assigned {
		return resp
	}
	assignment := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	assignment.Topics = []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}
	answer.Assignment.Topics(func(id assignor.TopicID, partitions []int32) {
		t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
		t.TopicID, t.Partitions = id, partitions
		assignment.Topics = append(assignment.Topics, t)
	})
	resp.Assignment = &assignment
	return resp
}
