// Package api answers the Kafka apis of the records service, one file per api. Its Kafka counterpart is KafkaApis.
package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/protocol"
	"kanal/services/records/internal/holder"
	"kanal/services/records/internal/session"
	"kanal/services/records/internal/topiclog"
)

// Topics is what is asked of the cluster's registry.
type Topics interface {
	Topic(name string) *cluster.Topic
	TopicByID(id [16]byte) *cluster.Topic
	Topics() []*cluster.Topic
	Leader(topic string, index int32) int32
	Info() cluster.Info
}

// API answers requests about topic logs.
type API struct {
	topics    Topics
	holder    *holder.Holder
	addresses Addresses
	sessions  *session.Cache
	space     Space
	maxBatch  func() int // what a log can take, in bytes
	now       func() time.Time
	log       *slog.Logger
	parked    prometheus.Gauge
	verifier  verifier
}

// Config is what the apis need.
type Config struct {
	Topics    Topics
	Holder    *holder.Holder
	Addresses Addresses
	Sessions  *session.Cache
	Space     Space
	MaxBatch  func() int // the largest batch that storage takes, in bytes
	Log       *slog.Logger
	Metrics   prometheus.Registerer // may be nil
}

// New makes the apis.
func New(cfg Config) *API {
	a := &API{topics: cfg.Topics, holder: cfg.Holder, addresses: cfg.Addresses, sessions: cfg.Sessions, space: cfg.Space, maxBatch: cfg.MaxBatch, now: time.Now, log: cfg.Log,
		parked: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kanal_records_parked_fetches", Help: "Fetches that wait for records."})}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(a.parked)
		a.sessions.Register(cfg.Metrics)
	}
	return a
}

// Register declares every api with its versions.
func (a *API) Register(mux *handler.Mux) {
	mux.Handle(protocol.Produce, 0, 13, a.produce, handler.Ordered) // 0-2 are advertised and refused, as in Kafka 4
	mux.Handle(protocol.Fetch, 4, 18, a.fetch)
	mux.Handle(protocol.ListOffsets, 1, 10, a.listOffsets)
	mux.Handle(protocol.DeleteRecords, 0, 2, a.deleteRecords)
	mux.Handle(protocol.WriteTxnMarkers, 1, 1, a.writeTxnMarkers, handler.Internal)
	mux.Handle(protocol.OffsetForLeaderEpoch, 2, 4, a.offsetForLeaderEpoch)
	mux.Handle(protocol.DescribeLogDirs, 1, 4, a.describeLogDirs)
	mux.Handle(protocol.DescribeProducers, 0, 0, a.describeProducers)
}

// place is one partition that a request is about.
type place struct {
	topic     *cluster.Topic
	partition int32
	code      int16 // a Kafka error, 0 if the partition is to be served here
	opening   *holder.Opening
}

func (p *place) index() int32 { return p.topic.LogOf(p.partition) }

// byName and byID find a partition.
func (a *API) byName(topic string, partition int32) *place {
	return locate(a.topics.Topic(topic), partition, kerr.UnknownTopicOrPartition)
}

func (a *API) byID(id [16]byte, partition int32) *place {
	return locate(a.topics.TopicByID(id), partition, kerr.UnknownTopicID)
}

func locate(t *cluster.Topic, partition int32, unknown *kerr.Error) *place {
	p := &place{topic: t, partition: partition}
	switch {
	case t == nil:
		p.code = unknown.Code
	case partition < 0 || partition >= t.Partitions:
		p.code = kerr.UnknownTopicOrPartition.Code
	}
	return p
}

// checkEpoch refuses a request made under another leader epoch than ours (KIP-320); -1 is none.
func (a *API) checkEpoch(p *place, epoch int32) {
	current := a.topics.Info().LeaderEpoch
	switch {
	case p.code != 0 || epoch < 0 || epoch == current:
	case epoch < current:
		p.code = kerr.FencedLeaderEpoch.Code
	default:
		p.code = kerr.UnknownLeaderEpoch.Code
	}
}

// route decides who serves the partitions of a request. All held by one other instance: an error that sends the request there. Else
// the ones held here are opened, and the others refused, unless the request has been sent around enough.
func (a *API) route(r *handler.Request, places []*place) error {
	there, mixed := "", false
	foreign := make([]bool, len(places))
	for i, p := range places {
		if p.code != 0 {
			continue
		}
		instance, elsewhere := a.holder.Elsewhere(p.topic.Name, p.index())
		foreign[i] = elsewhere && !r.MustServe
		mixed = mixed || !foreign[i] || there != "" && there != instance
		if foreign[i] {
			there = instance
		}
	}
	if there != "" && !mixed {
		return handler.Redirect(there)
	}
	for i, p := range places {
		if foreign[i] {
			p.code = kerr.NotLeaderForPartition.Code
		}
	}
	a.open(places)
	return nil
}

// open starts opening the logs of all places at once.
func (a *API) open(places []*place) {
	for _, p := range places {
		if p.code == 0 {
			p.opening = a.holder.Open(p.topic, p.index())
		}
	}
}

// log waits for a place's log; without one the place gets a retriable error.
func (a *API) logOf(ctx context.Context, p *place) *topiclog.Log {
	if p.code != 0 {
		return nil
	}
	l, err := p.opening.Wait(ctx)
	if err != nil {
		p.code = kerr.NotLeaderForPartition.Code // its cause is logged where it was opened
		return nil
	}
	return l
}

// retriable is the answer where the log could not be asked: clients refresh their metadata and try again.
func (a *API) retriable(p *place, what string, err error) {
	a.log.Debug("answered with a retriable error", "step", what, "topic", p.topic.Name, "partition", p.partition, "err", err)
	p.code = kerr.NotLeaderForPartition.Code
}

// confirmTimeout bounds how long a refusal waits for the confirmation of the tail.
const confirmTimeout = 10 * time.Second
