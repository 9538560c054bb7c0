package handler

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/requestchannel"
)

// AffinityByBroker: each broker is held by one instance of the service.
const AffinityByBroker = requestchannel.AffinityByBroker

// Config describes a handler service.
type Config struct {
	requestchannel.Subjects
	Service  string // name of the service, as routes and logs know it
	Release  string // version of the binary, semantic
	Window   int    // requests held at once, over all front ends
	Affinity requestchannel.Affinity
	// DrainTimeout bounds how long a stopping server waits for what it holds.
	DrainTimeout time.Duration
}

// Server is a handler instance: a mux behind the request channel.
type Server struct {
	channel *requestchannel.Server
	pool    *pool[*requestchannel.Incoming]
}

// NewServer makes an instance that answers what mux does. nc carries requests
// and small answers, large the large ones; both stay the caller's.
func NewServer(cfg Config, mux *Mux, nc, large *nats.Conn, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	mux.log = log
	mux.measure(newMetrics(reg, cfg.Service))
	return NewRawServer(requestchannel.ServerConfig{
		Subjects: cfg.Subjects, Service: cfg.Service, Release: cfg.Release, Window: cfg.Window, Affinity: cfg.Affinity,
		APIs: mux.Ranges(), Ordered: mux.OrderedKeys(), DrainTimeout: cfg.DrainTimeout,
		Metrics: requestchannel.NewServerMetrics(reg, cfg.Service),
	}, mux.Serve, nc, large, log)
}

// NewRawServer makes an instance whose serve function gets requests undecoded,
// one goroutine each: for protocols other than Kafka's.
func NewRawServer(cfg requestchannel.ServerConfig, serve func(*requestchannel.Incoming), nc, large *nats.Conn, log *slog.Logger) (*Server, error) {
	s := newServer(serve)
	return s, s.open(cfg, s.pool.submit, nc, large, log)
}

// NewInlineServer is NewRawServer for a serve function that never waits: it runs
// where requests arrive, which saves each of them the way to a goroutine and
// lets answers share a write. Large ones, which take their time, still get one.
func NewInlineServer(cfg requestchannel.ServerConfig, serve func(*requestchannel.Incoming), nc, large *nats.Conn, log *slog.Logger) (*Server, error) {
	s := newServer(serve)
	return s, s.open(cfg, func(in *requestchannel.Incoming) {
		if len(in.Frame) > requestchannel.LargeFrame {
			s.pool.submit(in)
		} else {
			s.pool.run(in)
		}
	}, nc, large, log)
}

func newServer(serve func(*requestchannel.Incoming)) *Server {
	return &Server{pool: newPool(func(in *requestchannel.Incoming) {
		in.Start()
		defer in.Finish()
		serve(in)
	})}
}

func (s *Server) open(cfg requestchannel.ServerConfig, take func(*requestchannel.Incoming), nc, large *nats.Conn, log *slog.Logger) (err error) {
	s.channel, err = requestchannel.NewServer(cfg, nc, large, take, log)
	return err
}

// ID is the id of this instance.
func (s *Server) ID() string { return s.channel.ID() }

// View is the living cluster as this instance sees it.
func (s *Server) View() *requestchannel.View { return s.channel.View() }

// Run serves until ctx ends and everything taken is answered.
func (s *Server) Run(ctx context.Context) error {
	err := s.channel.Run(ctx)
	s.pool.close()
	return err
}
