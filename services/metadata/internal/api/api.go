// Package api answers the metadata service's apis, one file each, numbered by
// api key. Its Kafka counterparts are the handlers of KafkaApis and
// ControllerApis for topics, configs and the cluster.
package api

import (
	"context"
	"math"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/protocol"
	"kanal/services/metadata/internal/topics"
)

// Settings are what the answers need of the service's configuration.
type Settings struct {
	AutoCreateTopics         bool
	NumPartitions            int32
	DefaultReplicationFactor int16
	MaxMessageBytes          int
}

// API answers requests from the registry's memory and changes topics by admin.
type API struct {
	settings Settings
	reg      *cluster.Registry
	admin    *topics.Admin
	brokers  *cluster.Brokers
}

// New makes an API.
func New(settings Settings, reg *cluster.Registry, admin *topics.Admin, brokers *cluster.Brokers) *API {
	return &API{settings: settings, reg: reg, admin: admin, brokers: brokers}
}

// Register puts all apis into the mux: the one place of their versions.
func (a *API) Register(m *handler.Mux) {
	m.Handle(protocol.Metadata, 0, 13, a.metadata)
	m.Handle(protocol.CreateTopics, 0, 7, a.createTopics)
	m.Handle(protocol.DeleteTopics, 0, 6, a.deleteTopics)
	m.Handle(protocol.DescribeConfigs, 0, 4, a.describeConfigs)
	m.Handle(protocol.AlterConfigs, 0, 2, a.alterConfigs)
	m.Handle(protocol.CreatePartitions, 0, 3, a.createPartitions)
	m.Handle(protocol.ElectLeaders, 0, 2, a.electLeaders)
	m.Handle(protocol.IncrementalAlterConfigs, 0, 1, a.incrementalAlterConfigs)
	m.Handle(protocol.AlterPartitionReassignments, 0, 1, a.alterPartitionReassignments)
	m.Handle(protocol.ListPartitionReassignments, 0, 0, a.listPartitionReassignments)
	m.Handle(protocol.DescribeCluster, 0, 2, a.describeCluster)
	m.Handle(protocol.DescribeTopicPartitions, 0, 0, a.describeTopicPartitions)
}

// known finds a topic by name in memory, the internal one included.
func (a *API) known(name string) *cluster.Topic {
	if name == cluster.OffsetsTopicName {
		return a.reg.OffsetsTopic()
	}
	return a.reg.Topic(name)
}

// knownByID is known by id.
func (a *API) knownByID(id [16]byte) *cluster.Topic {
	if t := a.reg.OffsetsTopic(); t != nil && t.ID == id {
		return t
	}
	return a.reg.TopicByID(id)
}

// topic finds a topic by name. Before it says that there is none, it makes sure
// that none has just been made by another instance.
func (a *API) topic(ctx context.Context, name string) *cluster.Topic {
	if t := a.known(name); t != nil || cluster.ValidateTopicName(name) != nil {
		return t
	}
	a.catchUp(ctx)
	return a.known(name)
}

// topicByID is topic by id.
func (a *API) topicByID(ctx context.Context, id [16]byte) *cluster.Topic {
	if t := a.knownByID(id); t != nil {
		return t
	}
	a.catchUp(ctx)
	return a.knownByID(id)
}

// leader is the broker that leads a partition.
func (a *API) leader(t *cluster.Topic, partition int32) int32 {
	if t.Name == cluster.OffsetsTopicName {
		return a.reg.CoordinationLeader(partition)
	}
	return a.reg.Leader(t.Name, t.LogOf(partition))
}

// catchUp does its best: without it, the answer is that of a moment ago.
func (a *API) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = a.reg.CatchUp(ctx)
}

func (a *API) limits() topics.Limits {
	return topics.Limits{
		Brokers:           a.reg.Info().Brokers,
		DefaultPartitions: a.settings.NumPartitions,
		DefaultFactor:     a.settings.DefaultReplicationFactor,
		MaxMessageBytes:   a.settings.MaxMessageBytes,
	}
}

// controller is the broker that clients send changes to. Any would do, since
// every instance makes them.
const controller = 1

// Authorized operations as bits, by Kafka's AclOperation codes. Without an
// authorizer everything that the resource knows is allowed.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	notAsked          = math.MinInt32
)

func operations(asked bool, all int32) int32 {
	if asked {
		return all
	}
	return notAsked
}

// within bounds ctx by the timeout that a request carries, in milliseconds. A
// client that gives next to none still gets what can be had at once.
func within(ctx context.Context, millis int32) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(time.Duration(millis)*time.Millisecond, time.Second))
}
