// Package groups is the service that coordinates consumer groups and gives out
// producer ids. The state of a group is in one of the cluster's coordination
// logs; an instance holds the logs of the brokers that rendezvous hashing gives
// it. Its Kafka counterparts are GroupCoordinator and the part of
// TransactionCoordinator that idempotent producers need.
package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/log"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
	"kanal/services/groups/internal/api"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/group"
	"kanal/services/groups/internal/markers"
)

// name is the service's name in announcements, logs and metrics.
const name = api.Service

// openTimeout bounds how long the cluster's bucket may take to open.
const openTimeout = 30 * time.Second

// newMemberTimeout is Kafka's GroupCoordinator.NewMemberJoinTimeoutMs.
const newMemberTimeout = 5 * time.Minute

// markerPause is the time between tries to write a transaction's markers.
const markerPause = 50 * time.Millisecond

// Service is one instance of the groups service.
type Service struct {
	cfg                Config
	log                *slog.Logger
	nc, large, storage *nats.Conn
	js                 jetstream.JetStream
	reg                *cluster.Registry
	server             *handler.Server
	shelf              *coordinator.Shelf
	markers            markers.Writer
	metrics            *coordinator.Metrics
	logMetrics         *log.Metrics
}

// New connects an instance to NATS and opens the cluster. Run serves; without
// it, nothing is left but what New opened.
func New(cfg Config, deps service.Deps) (_ *Service, err error) {
	s := &Service{cfg: cfg, log: deps.Log.With("service", name), metrics: coordinator.NewMetrics(deps.Metrics), logMetrics: log.NewMetrics(deps.Metrics, name)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for name, nc := range map[string]**nats.Conn{"kanal-groups": &s.nc, "kanal-groups-large": &s.large, "kanal-groups-storage": &s.storage} {
		if *nc, err = deps.Connect(name); err != nil {
			return nil, err
		}
	}
	if s.js, err = jetstream.New(s.storage); err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if s.reg, err = cluster.Open(ctx, s.js, cluster.Config{Cluster: cfg.Cluster, Replicas: cfg.Replicas}, s.log); err != nil {
		return nil, err
	}
	return s, s.serve(deps)
}

// serve puts the apis behind the request channel.
func (s *Service) serve(deps service.Deps) (err error) {
	mux, brokers := handler.NewMux(), cluster.NewBrokers()
	answers := api.New(api.Settings{
		MinSession: s.cfg.MinSessionTimeout, MaxSession: s.cfg.MaxSessionTimeout, MaxMetadata: s.cfg.OffsetMetadataMaxBytes,
		HeartbeatInterval: s.cfg.ConsumerHeartbeatInterval, Assignors: s.cfg.ConsumerAssignors,
		MaxTransaction: s.cfg.TransactionMaxTimeout,
	}, s.reg, brokers, s.log)
	answers.Register(mux)
	subjects := requestchannel.Subjects{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster}
	s.server, err = handler.NewServer(handler.Config{
		Subjects: subjects, Service: name, Release: service.Release, Window: s.cfg.Window,
		Affinity: handler.AffinityByBroker, DrainTimeout: s.cfg.DrainTimeout,
	}, mux, s.nc, s.large, s.log, deps.Metrics)
	if err != nil {
		return err
	}
	view := s.server.View()
	brokers.Follow(view)
	ask := handler.NewAsker(subjects, name, s.server.ID(), s.nc, view)
	s.markers = markers.Writer{Ask: ask, Cluster: s.reg, Log: s.log, Pause: markerPause}
	s.shelf = coordinator.NewShelf(coordinator.ShelfConfig{
		Cluster: s.reg, Self: s.server.ID(), Open: s.open, Metrics: s.metrics, Log: s.log,
		Holder: func(broker int32) (string, bool) { return view.Holder(name, broker) },
	})
	answers.Serve(s.shelf, ask)
	view.OnChange(s.shelf.Changed)
	s.reg.OnChange(s.shelf.Changed)
	return nil
}

// open opens a coordination log, making its stream if this is the first time.
func (s *Service) open(ctx context.Context, index int32) (*coordinator.Coordinator, error) {
	stream := cluster.CoordinationStream(s.cfg.Cluster, index)
	if err := s.createStream(ctx, stream, index); err != nil {
		return nil, err
	}
	l := s.log.With("log", index)
	table, err := log.OpenTable(ctx, s.js, log.TableConfig{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster, Stream: stream, Log: l, Metrics: s.logMetrics})
	if err != nil {
		return nil, err
	}
	return coordinator.New(coordinator.Config{
		Group:         group.Settings{InitialDelay: s.cfg.InitialRebalanceDelay, NewMemberTimeout: newMemberTimeout},
		Consumer:      consumer.Settings{Session: s.cfg.ConsumerSessionTimeout, Assignors: s.cfg.ConsumerAssignors, MaxSize: s.cfg.ConsumerMaxSize},
		Topics:        topics{s.reg},
		Alive:         func() bool { return s.holds(index) && s.nc.IsConnected() && s.storage.IsConnected() },
		TopicLives:    s.topicLives,
		CleanInterval: s.cfg.CleanInterval, OffsetsRetention: s.cfg.OffsetsRetention,
		Markers: s.markers.Write, TransactionRetention: s.cfg.TransactionalIDRetention,
		Metrics: s.metrics, Log: l,
	}, table), nil
}

func (s *Service) holds(index int32) bool {
	holder, ok := s.server.View().Holder(name, s.reg.CoordinationLeader(index))
	return ok && holder == s.server.ID()
}

func (s *Service) topicLives(name string, id [16]byte) bool {
	t := s.reg.Topic(name)
	return t != nil && t.ID == id
}

// notClustered is what a NATS server that stands alone says to replicas.
const notClustered jetstream.ErrorCode = 10074

func (s *Service) createStream(ctx context.Context, stream string, index int32) error {
	cfg := log.StreamConfig(s.cfg.Prefix, s.cfg.Cluster, stream, s.cfg.Replicas, map[string]string{
		"kanal.cluster": s.cfg.Cluster, "kanal.coordination": strconv.Itoa(int(index)),
	})
	err := log.CreateStream(ctx, s.js, cfg)
	var refused *jetstream.APIError
	if cfg.Replicas > 1 && errors.As(err, &refused) && refused.ErrorCode == notClustered {
		s.log.Warn("coordination log has one replica: the NATS server is not part of a cluster", "log", index, "asked", cfg.Replicas)
		cfg.Replicas = 1
		err = log.CreateStream(ctx, s.js, cfg)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // made with other settings, which somebody may have wanted
	}
	return err
}

// Run serves until ctx ends and everything taken is answered.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	var background sync.WaitGroup
	keeping, stop := context.WithCancel(context.Background())
	background.Go(func() { s.shelf.Run(keeping) })
	err := s.server.Run(ctx)
	stop()
	background.Wait()
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
