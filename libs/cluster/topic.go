package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kanal/libs/future"
)

// Topic is one topic as it stands at one revision. It is immutable: changes
// make a new one.
type Topic struct {
	Name string
	// ID tells a topic from one of the same name before or after it.
	ID [16]byte
	// Partitions can grow; Logs is fixed at creation, 1 to Partitions then.
	Partitions, Logs int32
	// ReplicationFactor is what was asked for and clients are shown;
	// StreamReplicas is what the streams were made with, which is less where
	// NATS has fewer servers.
	ReplicationFactor int16
	StreamReplicas    int
	// Configs holds what was set, without defaults.
	Configs map[string]string
	Created time.Time
	// Revision of the entry in the bucket: the condition of a change.
	Revision uint64
}

// LogOf is the log that holds a partition.
func (t *Topic) LogOf(partition int32) int32 { return partition % t.Logs }

// StreamName is the stream of one of the topic's logs. The id in it keeps a
// topic apart from its namesakes of the past.
func (t *Topic) StreamName(cluster string, logIndex int32) string {
	return fmt.Sprintf("%s%s_%s_%d", StreamPrefix(cluster), legal(t.Name), ID(t.ID), logIndex)
}

// StreamNames lists the streams of all logs of the topic.
func (t *Topic) StreamNames(cluster string) []string {
	names := make([]string, t.Logs)
	for i := range names {
		names[i] = t.StreamName(cluster, int32(i))
	}
	return names
}

// TopicOfStream finds the topic id in the name of a stream of this cluster;
// ok is false for any other stream, coordination logs included.
func TopicOfStream(cluster, stream string) (id [16]byte, ok bool) {
	rest, ok := strings.CutPrefix(stream, StreamPrefix(cluster))
	if !ok {
		return id, false
	}
	_, rest, ok = strings.Cut(rest, "_") // legal names are free of '_', ids are not
	if !ok || len(rest) < 24 || rest[22] != '_' {
		return id, false
	}
	parsed, err := ParseID(rest[:22])
	return parsed, err == nil
}

const topicVersion = 1

// topicEntry is the stored form: stable names, times in UTC.
type topicEntry struct {
	Version           int               `json:"version"`
	Name              string            `json:"name"`
	ID                ID                `json:"id"`
	Partitions        int32             `json:"partitions"`
	Logs              int32             `json:"logs"`
	ReplicationFactor int16             `json:"replicationFactor"`
	StreamReplicas    int               `json:"streamReplicas"`
	Configs           map[string]string `json:"configs,omitempty"`
	Created           time.Time         `json:"created"`
	future.Fields
}

func (t *Topic) encode() ([]byte, error) {
	return json.Marshal(topicEntry{
		Version: topicVersion, Name: t.Name, ID: t.ID, Partitions: t.Partitions, Logs: t.Logs,
		ReplicationFactor: t.ReplicationFactor, StreamReplicas: t.StreamReplicas,
		Configs: t.Configs, Created: t.Created.UTC(),
	})
}

// decodeTopic reads an entry and trusts nothing in it: a wrong one must not
// reach handlers that divide by Logs.
func decodeTopic(key string, value []byte, revision uint64) (*Topic, error) {
	var e topicEntry
	if err := json.NewDecoder(bytes.NewReader(value)).Decode(&e); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, key, err)
	}
	t := &Topic{
		Name: e.Name, ID: e.ID, Partitions: e.Partitions, Logs: e.Logs,
		ReplicationFactor: e.ReplicationFactor, StreamReplicas: e.StreamReplicas,
		Configs: e.Configs, Created: e.Created, Revision: revision,
	}
	switch {
	case e.Version != topicVersion:
		return nil, fmt.Errorf("%w: %s: version %d, this build reads %d", ErrInvalidEntry, key, e.Version, topicVersion)
	case topicKey(e.Name) != key:
		return nil, fmt.Errorf("%w: %s: names topic %q", ErrInvalidEntry, key, e.Name)
	}
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, key, err)
	}
	return t, nil
}

func (t *Topic) validate() error {
	if err := ValidateTopicName(t.Name); err != nil {
		return err
	}
	switch {
	case ID(t.ID).IsZero():
		return fmt.Errorf("no id")
	case t.Partitions < 1:
		return fmt.Errorf("%d partitions", t.Partitions)
	case t.Logs < 1 || t.Logs > t.Partitions:
		return fmt.Errorf("%d logs for %d partitions", t.Logs, t.Partitions)
	case t.ReplicationFactor < 1 || t.StreamReplicas < 1:
		return fmt.Errorf("replication factor %d, stream replicas %d", t.ReplicationFactor, t.StreamReplicas)
	}
	return nil
}
