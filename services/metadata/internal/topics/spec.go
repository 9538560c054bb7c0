package topics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

// MaxPartitions is the most partitions that a topic may have, as Kafka bounds
// what one request may create.
const MaxPartitions = 10_000

// defaultLogs bounds the default of kanal.logs.
const defaultLogs = 4

// Limits is what a new topic is held against.
type Limits struct {
	Brokers           int32
	DefaultPartitions int32 // for -1, num.partitions
	DefaultFactor     int16 // for -1, default.replication.factor
	// MaxMessageBytes is the largest max.message.bytes that NATS can carry.
	MaxMessageBytes int
}

// Spec is a topic as it shall become: checked, defaults filled in.
type Spec struct {
	Name       string
	Partitions int32
	Logs       int32
	Factor     int16
	Configs    map[string]string
}

// Resolve checks what CreateTopics asks for, in Kafka's order of checks
// (ReplicationControlManager.createTopic).
func Resolve(t *kmsg.CreateTopicsRequestTopic, l Limits) (Spec, error) {
	s := Spec{Name: t.Topic, Partitions: t.NumPartitions, Factor: t.ReplicationFactor}
	if err := cluster.ValidateTopicName(t.Topic); err != nil {
		return s, refuse(kerr.InvalidTopicException, "Topic name is invalid: %v", err)
	}
	if err := s.size(t, l); err != nil {
		return s, err
	}
	if s.Partitions > MaxPartitions {
		return s, refuse(kerr.InvalidPartitions, "Number of partitions must not be larger than %d.", MaxPartitions)
	}
	if int32(s.Factor) > l.Brokers {
		return s, refuse(kerr.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): only %d broker(s) are registered.", s.Factor, l.Brokers)
	}
	return s, s.configure(t.Configs, l)
}

// size decides partitions and replication factor: from the assignment, the
// numbers, or the defaults.
func (s *Spec) size(t *kmsg.CreateTopicsRequestTopic, l Limits) error {
	if len(t.ReplicaAssignment) > 0 {
		return s.assigned(t, l)
	}
	switch {
	case s.Partitions == -1:
		s.Partitions = l.DefaultPartitions
	case s.Partitions <= 0:
		return refuse(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	switch {
	case s.Factor == -1:
		s.Factor = l.DefaultFactor
	case s.Factor <= 0:
		return refuse(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	return nil
}

// assigned takes the numbers from a manual assignment. The brokers named in it
// are checked and not kept: leadership follows from names (design section 6).
func (s *Spec) assigned(t *kmsg.CreateTopicsRequestTopic, l Limits) error {
	if t.NumPartitions != -1 {
		return refuse(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	if t.ReplicationFactor != -1 {
		return refuse(kerr.InvalidRequest, "A manual partition assignment was specified, but replicationFactor was not set to -1.")
	}
	seen := make([]bool, len(t.ReplicaAssignment))
	for _, a := range t.ReplicaAssignment {
		if a.Partition < 0 || int(a.Partition) >= len(seen) || seen[a.Partition] {
			return refuse(kerr.InvalidReplicaAssignment, "Partitions should be a consecutive 0-based integer sequence.")
		}
		seen[a.Partition] = true
		if err := checkReplicas(a.Replicas, len(t.ReplicaAssignment[0].Replicas), l.Brokers); err != nil {
			return err
		}
	}
	s.Partitions, s.Factor = int32(len(seen)), int16(len(t.ReplicaAssignment[0].Replicas))
	return nil
}

// checkReplicas checks the replicas assigned to one partition.
func checkReplicas(replicas []int32, factor int, brokers int32) error {
	if len(replicas) == 0 {
		return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	if len(replicas) != factor {
		return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).", len(replicas), factor)
	}
	for i, b := range replicas {
		if b < 1 || b > brokers {
			return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", b)
		}
		if slices.Contains(replicas[:i], b) {
			return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", b)
		}
	}
	return nil
}

// configure checks the configs and decides the number of logs.
func (s *Spec) configure(configs []kmsg.CreateTopicsRequestTopicConfig, l Limits) error {
	s.Configs = make(map[string]string, len(configs))
	for _, c := range configs {
		if _, twice := s.Configs[c.Name]; twice {
			return refuse(kerr.InvalidRequest, "Topic configs contain %s more than once.", c.Name)
		}
		if c.Value == nil {
			return refuse(kerr.InvalidConfig, "Null value not supported for topic configs: %s", c.Name)
		}
		if err := CheckConfig(c.Name, *c.Value, l.MaxMessageBytes); err != nil {
			return err
		}
		s.Configs[c.Name] = *c.Value
	}
	s.Logs = min(s.Partitions, defaultLogs)
	if v, ok := s.Configs[cluster.ConfigLogs]; ok {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 1 || int32(n) > s.Partitions {
			return refuse(kerr.InvalidConfig, "Invalid value %s for configuration %s: must be 1 to the number of partitions, %d", v, cluster.ConfigLogs, s.Partitions)
		}
		s.Logs = int32(n)
	}
	return nil
}

// CheckConfig checks one topic config. maxMessageBytes bounds
// max.message.bytes.
func CheckConfig(name, value string, maxMessageBytes int) error {
	d := cluster.TopicConfig(name)
	if d == nil {
		return refuse(kerr.InvalidConfig, "Unknown topic config name: %s", name)
	}
	if err := d.Check(value); err != nil {
		return refuse(kerr.InvalidConfig, "%v", err)
	}
	if n, err := strconv.Atoi(value); name == "max.message.bytes" && (err != nil || n > maxMessageBytes) {
		return refuse(kerr.InvalidConfig, "Invalid value %s for configuration %s: NATS carries at most %d bytes; raise max_payload of the NATS servers for more", value, name, maxMessageBytes)
	}
	return nil
}

// CheckConfigs checks the configs that a topic is to have in place of others.
func CheckConfigs(t *cluster.Topic, after map[string]string, maxMessageBytes int) error {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if d := cluster.TopicConfig(name); d != nil && d.ReadOnly && after[name] != t.Config(name) {
			return refuse(kerr.InvalidConfig, "%s of a topic cannot change: it is %s.", name, t.Config(name))
		}
		if err := CheckConfig(name, after[name], maxMessageBytes); err != nil {
			return err
		}
	}
	return nil
}

// CheckGrowth checks what CreatePartitions asks of a topic.
func CheckGrowth(t *cluster.Topic, r *kmsg.CreatePartitionsRequestTopic, brokers int32) error {
	switch {
	case r.Count == t.Partitions:
		return refuse(kerr.InvalidPartitions, "Topic already has %d partition(s).", t.Partitions)
	case r.Count < t.Partitions:
		return refuse(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, t.Partitions, r.Count)
	case r.Count > MaxPartitions:
		return refuse(kerr.InvalidPartitions, "Number of partitions must not be larger than %d.", MaxPartitions)
	}
	if r.Assignment == nil {
		return nil
	}
	if more := r.Count - t.Partitions; int(more) != len(r.Assignment) {
		return refuse(kerr.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", more, len(r.Assignment))
	}
	for _, a := range r.Assignment {
		if err := checkReplicas(a.Replicas, int(t.ReplicationFactor), brokers); err != nil {
			return err
		}
	}
	return nil
}
