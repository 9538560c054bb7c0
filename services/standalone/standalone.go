// Package standalone is all of Kanal in one process: every service and an
// embedded nats-server with JetStream on a data folder. Nothing in it is
// special: the services talk over NATS as they do when each has a process of
// its own.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"kanal/libs/service"
	"kanal/services/frontend"
	"kanal/services/groups"
	"kanal/services/metadata"
	"kanal/services/records"
)

// Service is a whole Kanal.
type Service struct {
	deps     service.Deps
	begun    time.Time
	nats     *server.Server // nil when another NATS is used
	unlock   func()
	frontEnd *frontend.Service
	handlers []service.Runner
}

// New starts the embedded NATS, unless natsURL names another, and connects all
// services to it. ctx bounds connecting.
func New(ctx context.Context, cfg Config, natsURL string, deps service.Deps) (_ *Service, err error) {
	s := &Service{deps: deps, begun: time.Now(), unlock: func() {}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if natsURL == "" {
		if err := s.embed(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return s, s.build(cfg)
}

func (s *Service) embed(ctx context.Context, cfg Config) (err error) {
	if s.unlock, err = lockDataDir(cfg.DataDir); err != nil {
		s.unlock = func() {}
		return err
	}
	if s.nats, err = startNATS(cfg, s.deps.Log); err != nil {
		return err
	}
	// Connections must outlive ctx: draining needs them.
	s.deps.Connect = service.Connector(ctx, service.NATS{NATSURL: s.nats.ClientURL()}, s.deps.Log)
	s.deps.Log.Info("started the embedded NATS", "url", s.nats.ClientURL(), "data", cfg.DataDir)
	return nil
}

// build makes the services, side by side because each opens connections and
// reads the cluster's state.
func (s *Service) build(cfg Config) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	start := func(name string, f func() (service.Runner, error)) {
		wait.Go(func() {
			r, err := f()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("start %s: %w", name, err))
			} else if r != nil {
				s.handlers = append(s.handlers, staying{r})
			}
		})
	}
	start("metadata", func() (service.Runner, error) { return metadata.New(cfg.Metadata, s.deps) })
	start("records", func() (service.Runner, error) { return records.New(cfg.Records, s.deps) })
	start("groups", func() (service.Runner, error) { return groups.New(cfg.Groups, s.deps) })
	start("frontend", func() (_ service.Runner, err error) {
		s.frontEnd, err = frontend.New(cfg.FrontEnd, s.deps)
		return nil, err
	})
	wait.Wait()
	return errors.Join(errs...)
}

// staying is a handler that an administrator may drain without the others: it
// has left then, and the process goes on.
type staying struct{ service.Runner }

func (s staying) Run(ctx context.Context) error {
	err := s.Runner.Run(ctx)
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// FrontEnd is the front end of this process.
func (s *Service) FrontEnd() *frontend.Service { return s.frontEnd }

// Run serves until ctx ends, then stops in the order of a request's way: the
// front end lets what is under way finish while handlers still answer, then the
// handlers, then NATS.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	go s.sayReady(ctx)
	handlers, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	ended := make(chan error, 1)
	go func() {
		ended <- service.Group(handlers, s.handlers...)
		stopFront() // a handler that failed takes the process with it
	}()
	err := s.frontEnd.Run(front)
	stop()
	return errors.Join(err, <-ended)
}

// sayReady tells how to try it.
func (s *Service) sayReady(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.frontEnd.Opened():
		s.deps.Log.Info("ready", "after", time.Since(s.begun).Round(time.Millisecond).String(), "try", "kcat -b "+s.frontEnd.Advertised()+" -L")
	}
}

func (s *Service) close() {
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	s.unlock()
}
