// Package records is the service that keeps and gives records: Produce, Fetch and what belongs to them, over logs in JetStream. An
// instance holds the logs of the brokers that rendezvous hashing gives it, and anything else it can serve as well, only slower. Its
// Kafka counterparts are ReplicaManager and the log part of KafkaApis.
package records

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/log"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
	"kanal/services/records/internal/api"
	"kanal/services/records/internal/holder"
	"kanal/services/records/internal/retention"
	"kanal/services/records/internal/session"
	"kanal/services/records/internal/topiclog"
)

// openTimeout bounds how long the cluster's bucket may take to open.
const openTimeout = 30 * time.Second

// A fetch session that was idle for so long gives way to another (min.incremental.fetch.session.eviction.ms). On average sessions have
// no more partitions than this: more would take memory that nobody has counted.
const (
	sessionIdle          = 2 * time.Minute
	partitionsPerSession = 200
)

// spaceTimeout bounds how long a description waits for what JetStream says of its space.
const spaceTimeout = 2 * time.Second

// Service is one instance of the records service.
type Service struct {
	cfg                Config
	log                *slog.Logger
	nc, large, storage *nats.Conn // requests, large requests and answers, logs
	js                 jetstream.JetStream
	reg                *cluster.Registry
	holder             *holder.Holder
	server             *handler.Server

	// shared by all logs
	cache      *topiclog.Cache
	metrics    *topiclog.Metrics
	logMetrics *log.Metrics
}

// New connects an instance to NATS and opens the cluster. Run serves; without it, nothing is left but what New opened.
func New(cfg Config, deps service.Deps) (_ *Service, err error) {
	s := &Service{cfg: cfg, log: deps.Log.With("service", holder.Service), metrics: topiclog.NewMetrics(deps.Metrics),
		logMetrics: log.NewMetrics(deps.Metrics, holder.Service)}
	s.cache = topiclog.NewCache(cfg.CacheBytes, s.metrics)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.connect(deps); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if s.reg, err = cluster.Open(ctx, s.js, cluster.Config{Cluster: cfg.Cluster, Replicas: cfg.Replicas}, s.log); err != nil {
		return nil, err
	}
	return s, s.serve(deps)
}

// connect opens the connections. Logs have one of their own: what a reader of the past pulls in must not stand before requests.
func (s *Service) connect(deps service.Deps) (err error) {
	for name, nc := range map[string]**nats.Conn{"kanal-records": &s.nc, "kanal-records-large": &s.large, "kanal-records-storage": &s.storage} {
		if *nc, err = deps.Connect(name); err != nil {
			return err
		}
	}
	if s.js, err = jetstream.New(s.storage); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	return nil
}

// serve puts the apis behind the request channel. Holder and server need each other: the server's id is what the holder compares.
func (s *Service) serve(deps service.Deps) (err error) {
	mux := handler.NewMux()
	late := new(lateView)
	h := holder.New(late, s.reg, s.open, s.log)
	brokers := cluster.NewBrokers()
	answers := api.New(api.Config{
		Topics: s.reg, Holder: h, Addresses: brokers, Space: s, MaxBatch: s.maxBatch, Log: s.log, Metrics: deps.Metrics,
		Sessions: session.NewCache(session.Limits{Sessions: s.cfg.FetchSessions, Partitions: partitionsPerSession * s.cfg.FetchSessions, Idle: sessionIdle}, time.Now),
	})
	answers.Register(mux)
	subjects := requestchannel.Subjects{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster}
	s.server, err = handler.NewServer(handler.Config{
		Subjects: subjects,
		Service:  holder.Service, Release: service.Release, Window: s.cfg.Window,
		Affinity: handler.AffinityByBroker, DrainTimeout: s.cfg.DrainTimeout,
	}, mux, s.nc, s.large, s.log, deps.Metrics)
	if err != nil {
		return err
	}
	late.View, late.id = s.server.View(), s.server.ID()
	s.holder = h
	brokers.Follow(s.server.View())
	answers.Asks(handler.NewAsker(subjects, holder.Service, s.server.ID(), s.nc, s.server.View()), func(id string) int32 {
		return s.reg.CoordinationLeader(cluster.GroupLog(id, s.reg.Info().CoordinationLogs))
	})
	s.server.View().OnChange(h.Changed)
	s.reg.OnChange(h.Changed)
	return nil
}

// lateView is the server's view, known once there is a server, and before it serves.
type lateView struct {
	*requestchannel.View
	id string
}

// ID is the id of this instance.
func (v *lateView) ID() string { return v.id }

// open is how the holder opens a log.
func (s *Service) open(ctx context.Context, t *cluster.Topic, index int32) (*topiclog.Log, error) {
	stream := t.StreamName(s.cfg.Cluster, index)
	return topiclog.Open(ctx, topiclog.Config{
		Name: stream, Storage: log.NewStream(s.js, s.cfg.Prefix, s.cfg.Cluster, stream), Cache: s.cache,
		LeaderEpoch: func() int32 { return s.reg.Info().LeaderEpoch },
		Log:         s.log.With("topic", t.Name), Metrics: s.metrics, LogMetrics: s.logMetrics,
	})
}

// maxBatch follows from the connected server's max_payload.
func (s *Service) maxBatch() int {
	return topiclog.MaxBatch(log.NewStream(s.js, s.cfg.Prefix, s.cfg.Cluster, ""))
}

// Space is what JetStream may store and what is left of it, in bytes; -1 where it has no limit of its own, or does not say.
func (s *Service) Space(ctx context.Context) (total, usable int64) {
	ctx, cancel := context.WithTimeout(ctx, spaceTimeout)
	defer cancel()
	info, err := s.js.AccountInfo(ctx)
	if err != nil || info.Limits.MaxStore < 0 {
		return -1, -1
	}
	return info.Limits.MaxStore, max(0, info.Limits.MaxStore-int64(info.Store))
}

// Run serves until ctx ends and everything taken is answered, then closes the logs.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	holding, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { s.holder.Run(holding) })
	background.Go(func() { retention.New(s.reg.Topics, s.holder, s.log).Run(holding, s.cfg.RetentionInterval) })
	err := s.server.Run(ctx)
	stop()
	background.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *Service) close() {
	if s.reg != nil {
		s.reg.Close()
	}
	for _, nc := range []*nats.Conn{s.nc, s.large, s.storage} {
		if nc != nil {
			nc.Close()
		}
	}
}
