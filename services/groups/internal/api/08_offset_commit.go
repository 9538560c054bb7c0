package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// OffsetCommit, versions 1 to 9.
//
// An offset that is acknowledged is in the coordination log. Retention times
// that old versions carry are not looked at, as in Kafka 4.1: offsets expire as
// the coordinator is configured.
//
//	v1 commit timestamps (ignored), v2-v4 retention time (ignored)
//	v3 throttle time
//	v6 leader epochs
//	v7 static members
//	v9 GROUP_ID_NOT_FOUND, where before it is ILLEGAL_GENERATION, for a group
//	   that does not exist; member epochs of KIP-848
func (a *API) offsetCommit(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.OffsetCommitRequest)
	commit, refused := a.readCommit(ctx, req)
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error { return c.Commit(ctx, req.Group, commit) })
	if err != nil {
		return nil, err
	}
	return commitResponse(req, e, refused), nil
}

// readCommit takes the offsets that may be committed, and refuses the others.
func (a *API) readCommit(ctx context.Context, req *kmsg.OffsetCommitRequest) (*coordinator.Commit, map[coordinator.Partition]*kerr.Error) {
	commit := &coordinator.Commit{
		MemberID: req.MemberID, InstanceID: value(req.InstanceID), Generation: req.Generation, Version: req.Version,
		Offsets: make(map[coordinator.Partition]coordinator.Offset),
	}
	refused := make(map[coordinator.Partition]*kerr.Error)
	now := time.Now()
	a.lookAgain(ctx, req.Topics)
	for i := range req.Topics {
		t := a.reg.Topic(req.Topics[i].Topic)
		for j := range req.Topics[i].Partitions {
			rp := &req.Topics[i].Partitions[j]
			p := coordinator.Partition{Topic: req.Topics[i].Topic, Partition: rp.Partition}
			switch {
			case t == nil || rp.Partition < 0 || rp.Partition >= t.Partitions:
				refused[p] = kerr.UnknownTopicOrPartition
			case len(value(rp.Metadata)) > a.settings.MaxMetadata:
				refused[p] = kerr.OffsetMetadataTooLarge
			default:
				commit.Offsets[p] = coordinator.Offset{
					Offset: rp.Offset, LeaderEpoch: rp.LeaderEpoch, Metadata: value(rp.Metadata), TopicID: t.ID, Committed: now,
				}
			}
		}
	}
	return commit, refused
}

func commitResponse(req *kmsg.OffsetCommitRequest, e *kerr.Error, refused map[coordinator.Partition]*kerr.Error) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	resp.Topics = commitTopics(req, e, refused)
	return resp
}

// commitTopics gives every partition its error: its own, or the one of all.
func commitTopics(req *kmsg.OffsetCommitRequest, e *kerr.Error, refused map[coordinator.Partition]*kerr.Error) (out []kmsg.OffsetCommitResponseTopic) {
	for i := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition = req.Topics[i].Partitions[j].Partition
			rp.ErrorCode = code(e)
			if own := refused[coordinator.Partition{Topic: rt.Topic, Partition: rp.Partition}]; own != nil {
				rp.ErrorCode = own.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out = append(out, rt)
	}
	return out
}
