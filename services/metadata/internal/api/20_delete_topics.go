package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// DeleteTopics, versions 0 to 6.
//
// An answer without an error means that the topic's entry is gone and this
// instance knows it; its streams are deleted before the answer if they can be,
// by the janitor if not.
//
//	v5 error messages
//	v6 topics by name or id (KIP-516)
func (a *API) deleteTopics(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DeleteTopicsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	ctx, cancel := within(ctx, req.TimeoutMillis)
	defer cancel()
	asked := req.Topics
	for _, name := range req.TopicNames {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		asked = append(asked, t)
	}
	resp.Topics = topics.Map(asked, func(t kmsg.DeleteTopicsRequestTopic) kmsg.DeleteTopicsResponseTopic {
		return a.deleteTopic(ctx, &t)
	})
	return resp, nil
}

func (a *API) deleteTopic(ctx context.Context, t *kmsg.DeleteTopicsRequestTopic) kmsg.DeleteTopicsResponseTopic {
	rt := kmsg.NewDeleteTopicsResponseTopic()
	rt.Topic, rt.TopicID = t.Topic, t.TopicID
	found, err := a.findTopic(ctx, t)
	if err == nil {
		rt.Topic, rt.TopicID = &found.Name, found.ID
		err = refuseInternal(found.Name)
	}
	if err == nil {
		err = a.admin.Delete(ctx, found)
	}
	rt.ErrorCode, rt.ErrorMessage = topics.Code(err)
	return rt
}

func (a *API) findTopic(ctx context.Context, t *kmsg.DeleteTopicsRequestTopic) (*cluster.Topic, error) {
	byID := !cluster.ID(t.TopicID).IsZero()
	switch {
	case t.Topic != nil && byID:
		return nil, refused(kerr.InvalidRequest, "You may not specify both topic name and topic id.")
	case byID:
		if found := a.topicByID(ctx, t.TopicID); found != nil {
			return found, nil
		}
		return nil, refused(kerr.UnknownTopicID, "This server does not host this topic ID.")
	case t.Topic == nil:
		return nil, refused(kerr.InvalidRequest, "Neither topic name nor id were specified.")
	}
	if found := a.topic(ctx, *t.Topic); found != nil {
		return found, nil
	}
	return nil, refused(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
}
