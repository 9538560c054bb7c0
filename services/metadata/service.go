// Package metadata is the service that knows the cluster: topics, their
// configs, brokers. It keeps all of it in NATS KV, which every instance
// follows, so that reads are from memory and any instance answers anything. Its
// Kafka counterparts are the controller and the metadata part of KafkaApis.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
	"kanal/services/metadata/internal/api"
	"kanal/services/metadata/internal/topics"
)

// openTimeout bounds how long the cluster's bucket may take to open.
const openTimeout = 30 * time.Second

// batchOverhead is at least what stands around a record batch in a message of
// NATS: the records service takes batches up to a little more.
const batchOverhead = 1 << 10

// Service is one instance of the metadata service.
type Service struct {
	cfg       Config
	nc, large *nats.Conn
	reg       *cluster.Registry
	admin     *topics.Admin
	server    *handler.Server
}

// New connects an instance to NATS and opens the cluster. Run serves; without
// it, nothing is left but what New opened.
func New(cfg Config, deps service.Deps) (_ *Service, err error) {
	log := deps.Log.With("service", "metadata")
	s := &Service{cfg: cfg}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.nc, err = deps.Connect("kanal-metadata"); err != nil {
		return nil, err
	}
	if s.large, err = deps.Connect("kanal-metadata-large"); err != nil {
		return nil, err
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	s.reg, err = cluster.Open(ctx, js, cluster.Config{Cluster: cfg.Cluster, Brokers: cfg.Brokers, Replicas: int(cfg.DefaultReplicationFactor)}, log)
	if err != nil {
		return nil, err
	}
	s.admin = topics.New(topics.Config{Prefix: cfg.Prefix, Cluster: cfg.Cluster}, s.reg, js, log)
	register(deps.Metrics, s.reg, &s.admin.Counters)
	return s, s.serve(deps, cfg)
}

// serve puts the apis behind the request channel.
func (s *Service) serve(deps service.Deps, cfg Config) (err error) {
	mux := handler.NewMux()
	brokers := cluster.NewBrokers()
	api.New(api.Settings{
		AutoCreateTopics: cfg.AutoCreateTopics, NumPartitions: cfg.NumPartitions,
		DefaultReplicationFactor: cfg.DefaultReplicationFactor,
		MaxMessageBytes:          int(s.nc.MaxPayload()) - batchOverhead,
	}, s.reg, s.admin, brokers).Register(mux)
	s.server, err = handler.NewServer(handler.Config{
		Subjects: requestchannel.Subjects{Prefix: cfg.Prefix, Cluster: cfg.Cluster},
		Service:  "metadata", Release: service.Release, Window: cfg.Window, DrainTimeout: cfg.DrainTimeout,
	}, mux, s.nc, s.large, deps.Log.With("service", "metadata"), deps.Metrics)
	if err == nil {
		brokers.Follow(s.server.View())
	}
	return err
}

// Run serves until ctx ends and everything taken is answered.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	var background sync.WaitGroup
	cleaning, stop := context.WithCancel(ctx)
	background.Go(func() {
		s.admin.Clean(cleaning, topics.Janitor{Interval: s.cfg.JanitorInterval, Age: s.cfg.JanitorAge})
	})
	err := s.server.Run(ctx)
	stop()
	background.Wait()
	s.admin.Close()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *Service) close() {
	if s.reg != nil {
		s.reg.Close()
	}
	for _, nc := range []*nats.Conn{s.nc, s.large} {
		if nc != nil {
			nc.Close()
		}
	}
}
