// Package cluster is what all of a cluster's processes know together: its
// identity and number of brokers, its topics, and which api versions its
// services answer. All of it lives in one NATS KV bucket. A Registry follows
// that bucket and hands out immutable snapshots, so that reads cost one atomic
// load; changes are conditional writes, so that of two writers one is told
// that it came second. Its Kafka counterparts are the metadata log and
// MetadataCache.
package cluster

import (
	"errors"
	"fmt"
	"time"
)

// Config says which cluster to open and, for the first process to open it,
// what it is to be.
type Config struct {
	// Cluster names the cluster: bucket and streams are named after it.
	Cluster string
	// Brokers is the number of brokers K, ids 1 to K. Zero leaves it as it is
	// (1 in a new cluster); another number than the stored one replaces it.
	Brokers int32
	// CoordinationLogs is the number of coordination logs of a new cluster; an
	// existing one keeps its own. Zero means 8.
	CoordinationLogs int32
	// Replicas of the bucket's stream, 1 to 5. Zero means 1.
	Replicas int
	// CheckInterval is how often the registry compares itself with the
	// bucket's last revision, to notice a watch that went silent. Zero means
	// 10 s.
	CheckInterval time.Duration
}

// MaxBrokers is the largest number of brokers: each takes a port of every
// listener.
const MaxBrokers = 1000

func (c Config) withDefaults() Config {
	if c.CoordinationLogs == 0 {
		c.CoordinationLogs = 8
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.CheckInterval == 0 {
		c.CheckInterval = 10 * time.Second
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Cluster == "" {
		errs = append(errs, errors.New("the cluster has no name"))
	}
	if c.Brokers < 0 || c.Brokers > MaxBrokers {
		errs = append(errs, fmt.Errorf("%d brokers: want 1 to %d", c.Brokers, MaxBrokers))
	}
	if c.CoordinationLogs < 0 || c.CoordinationLogs > 1024 {
		errs = append(errs, fmt.Errorf("%d coordination logs: want 1 to 1024", c.CoordinationLogs))
	}
	return errors.Join(errs...)
}

// Errors of changes. Where a Kafka error belongs to one, its comment says so.
var (
	// ErrTopicExists refuses a second topic of that name (TOPIC_ALREADY_EXISTS).
	ErrTopicExists = errors.New("cluster: topic exists")
	// ErrUnknownTopic means that the topic is not there or no longer the one
	// that was meant (UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID).
	ErrUnknownTopic = errors.New("cluster: unknown topic")
	// ErrInvalidEntry is wrapped by what is wrong with a stored entry.
	ErrInvalidEntry = errors.New("cluster: invalid entry")
	// ErrClosed is returned by waits that Close ends.
	ErrClosed = errors.New("cluster: registry closed")
)
