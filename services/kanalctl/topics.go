package kanalctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanal/libs/cluster"
)

// Topics lists a cluster's topics.
type Topics struct {
	Cluster   string  `json:"cluster"`
	ClusterID string  `json:"clusterId"`
	Topics    []Topic `json:"topics"` // by name
}

// Topic is one topic as the cluster's registry has it.
type Topic struct {
	Name       string     `json:"name"`
	ID         cluster.ID `json:"id"`
	Partitions int32      `json:"partitions"`
	Logs       int32      `json:"logs"`
	// ReplicationFactor is what clients are told, StreamReplicas what NATS keeps.
	ReplicationFactor int16             `json:"replicationFactor"`
	StreamReplicas    int               `json:"streamReplicas"`
	Configs           map[string]string `json:"configs,omitempty"` // those that were set
	Created           time.Time         `json:"created"`
}

// topics prints the topics.
func (s *session) topics(ctx context.Context) error {
	registry, err := s.registry(ctx)
	if err != nil {
		return err
	}
	defer registry.Close()
	list := &Topics{Cluster: s.cfg.Cluster, ClusterID: registry.Info().ClusterID, Topics: []Topic{}}
	for _, t := range registry.Topics() {
		list.Topics = append(list.Topics, Topic{t.Name, t.ID, t.Partitions, t.Logs, t.ReplicationFactor, t.StreamReplicas, t.Configs, t.Created})
	}
	return s.out.print(list)
}

func (l *Topics) text() string {
	heading := fmt.Sprintf("cluster %s, id %s: %s\n", l.Cluster, l.ClusterID, count(len(l.Topics), "topic"))
	if len(l.Topics) == 0 {
		return heading
	}
	rows := [][]string{{"TOPIC", "ID", "PARTITIONS", "LOGS", "REPLICATION", "CONFIGS"}}
	for _, t := range l.Topics {
		rows = append(rows, []string{t.Name, t.ID.String(), strconv.Itoa(int(t.Partitions)), strconv.Itoa(int(t.Logs)), t.replication(), t.configs()})
	}
	return heading + "\n" + columns(rows)
}

// replication is the factor; where NATS keeps another number, that too.
func (t *Topic) replication() string {
	if int(t.ReplicationFactor) == t.StreamReplicas {
		return strconv.Itoa(t.StreamReplicas)
	}
	return fmt.Sprintf("%d (%d in NATS)", t.ReplicationFactor, t.StreamReplicas)
}

func (t *Topic) configs() string {
	list := make([]string, 0, len(t.Configs))
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		list = append(list, name+"="+t.Configs[name])
	}
	return strings.Join(list, " ")
}
