package kanalctl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
)

// session is one connection to one cluster.
type session struct {
	cfg Config
	nc  *nats.Conn
	out output
}

func connect(out output) (*session, error) {
	var cfg Config
	if err := service.Parse(&cfg); err != nil {
		return nil, fmt.Errorf("configuration not valid: %w", err)
	}
	nc, err := dial(cfg)
	if err != nil {
		return nil, err
	}
	return &session{cfg, nc, out}, nil
}

func (s *session) close() { s.nc.Close() }

func (s *session) subjects() requestchannel.Subjects {
	return requestchannel.Subjects{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster}
}

// where names the cluster for messages.
func (s *session) where() string {
	return fmt.Sprintf("%s at %s", s.cfg.Cluster, s.nc.ConnectedUrlRedacted())
}

// errNoCluster says that nothing was ever stored under the cluster's name.
var errNoCluster = errors.New("NATS keeps no such cluster")

// readTimeout bounds reading the cluster's bucket.
const readTimeout = 10 * time.Second

// registry follows the cluster's bucket; errNoCluster when there is none. It
// looks for the bucket first, because opening a registry would make it.
func (s *session) registry(ctx context.Context) (*cluster.Registry, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	js, err := jetstream.New(s.nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	_, err = js.KeyValue(ctx, cluster.BucketName(s.cfg.Cluster))
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return nil, fmt.Errorf("%w: %s; KANAL_CLUSTER says which", errNoCluster, s.where())
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w: %s: %w", errNoCluster, s.where(), err)
	case err != nil:
		return nil, fmt.Errorf("find the bucket of %s: %w", s.where(), err)
	}
	r, err := cluster.Open(ctx, js, cluster.Config{Cluster: s.cfg.Cluster}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.where(), err)
	}
	return r, nil
}
