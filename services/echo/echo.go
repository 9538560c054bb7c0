// Package echo is the smallest handler: it answers every frame with itself. It
// is the example for handler authors, and what benchmarks measure the pure
// layer with.
package echo

import (
	"context"
	"errors"

	"kanal/libs/handler"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
)

// Config is the echo service's part of the environment.
type Config struct {
	service.Common
	// Window is how many requests an instance holds at once.
	Window int `env:"KANAL_ECHO_WINDOW" envDefault:"256"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	if c.Window < 1 {
		return errors.Join(c.Common.Validate(), service.Invalid("KANAL_ECHO_WINDOW", c.Window, "at least 1"))
	}
	return c.Common.Validate()
}

// Service is one instance of the echo service.
type Service struct {
	server *handler.Server
	nats   service.Connections
}

// New connects an instance to NATS.
func New(cfg Config, deps service.Deps) (*Service, error) {
	nats, err := deps.ConnectHandler("kanal-echo")
	if err != nil {
		return nil, err
	}
	server, err := handler.NewInlineServer(requestchannel.ServerConfig{
		Subjects: requestchannel.Subjects{Prefix: cfg.Prefix, Cluster: cfg.Cluster},
		Service:  "echo", Release: service.Release, Window: cfg.Window, DrainTimeout: cfg.DrainTimeout,
		Metrics: requestchannel.NewServerMetrics(deps.Metrics, "echo"),
	}, answer, nats.Small, nats.Large, deps.Log)
	return &Service{server, nats}, err
}

func answer(in *requestchannel.Incoming) {
	in.Send(requestchannel.Answer{Append: func(b []byte) []byte { return append(b, in.Frame...) }})
}

// Run answers until ctx ends and everything taken is answered.
func (s *Service) Run(ctx context.Context) error {
	defer s.nats.Close()
	return s.server.Run(ctx)
}
