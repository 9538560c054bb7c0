package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// AlterPartitionReassignments, versions 0 and 1 (KIP-455).
//
// Replicas follow from names and the number of brokers, they cannot be assigned. To assign what is so already succeeds at once; anything
// else is refused, since a success would be contradicted by the next Metadata answer. There is never a reassignment to cancel.
func (a *API) alterPartitionReassignments(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	for i := range req.Topics {
		t := &req.Topics[i]
		found := a.topic(ctx, t.Topic)
		rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		rt.Topic = t.Topic
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			rp.Partition = p.Partition
			err := noSuchPartition(found, t.Topic, p.Partition)
			if err == nil {
				err = checkReassignment(t.Topic, p, replicas(a.leader(found, p.Partition), found.ReplicationFactor, a.reg.Info().Brokers))
			}
			rp.ErrorCode, rp.ErrorMessage = topics.Code(err)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// checkReassignment holds what is asked of a partition against the replicas that it has.
func checkReassignment(topic string, p *kmsg.AlterPartitionAssignmentsRequestTopicPartition, now []int32) error {
	if p.Replicas == nil {
		return refused(kerr.NoReassignmentInProgress, "No partition reassignment is in progress.")
	}
	if slices.Equal(now, p.Replicas) {
		return nil
	}
	return refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("Replicas of %s-%d follow from its name and cannot be assigned: they are %v.", topic, p.Partition, now))
}
