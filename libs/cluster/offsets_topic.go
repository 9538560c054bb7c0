package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// OffsetsTopicName is Kafka's internal topic of group state. Here it is a view:
// its partitions are the coordination logs, its leaders the coordinators, and
// there is nothing to read. Clients look for it, and leave it out where they
// subscribe by pattern.
const OffsetsTopicName = "__consumer_offsets"

const offsetsTopicKey = "offsets-topic"

// ShowOffsetsTopic has OffsetsTopic show the topic from now on. As in Kafka it
// appears when somebody first looks for a group's coordinator.
func (r *Registry) ShowOffsetsTopic(ctx context.Context) error {
	if r.now.Load().offsetsTopic {
		return nil
	}
	if _, err := r.kv.Create(ctx, offsetsTopicKey, []byte(`{"version":1}`)); err != nil && !isConflict(err) {
		return fmt.Errorf("show %s: %w", OffsetsTopicName, err)
	}
	return nil
}

// OffsetsTopic is the internal topic as clients may be shown it; nil as long as
// it is not. It is in none of the registry's tables.
func (r *Registry) OffsetsTopic() *Topic {
	s := r.now.Load()
	if !s.offsetsTopic {
		return nil
	}
	t := &Topic{
		Name: OffsetsTopicName, Partitions: s.info.CoordinationLogs, Logs: s.info.CoordinationLogs,
		ReplicationFactor: 1, StreamReplicas: 1, Configs: map[string]string{"cleanup.policy": "compact"},
	}
	// The same id in every process, and another one in another cluster.
	sum := sha256.Sum256([]byte(s.info.ClusterID + OffsetsTopicName))
	copy(t.ID[:], sum[:])
	t.ID[6], t.ID[8] = t.ID[6]&0x0f|0x40, t.ID[8]&0x3f|0x80
	return t
}
