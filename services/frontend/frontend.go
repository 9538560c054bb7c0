// Package frontend is the service that owns the clients' connections: the
// reactor (libs/socketserver) in front of the request channel
// (libs/requestchannel). It parses request headers, answers ApiVersions, and
// knows nothing of other bodies. Its Kafka counterpart is SocketServer.
package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"kanal/libs/cluster"
	"kanal/libs/memory"
	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/libs/sasl"
	"kanal/libs/service"
	"kanal/libs/socketserver"
	"kanal/services/frontend/internal/requestlog"
)

// Service is one front end.
type Service struct {
	cfg       Config
	listeners []listener
	deps      service.Deps
	log       *slog.Logger
	id        string
	opened    chan struct{}
	addresses map[string]requestchannel.Address // announced last; of the goroutine that announces

	nc, large *nats.Conn
	registry  *cluster.Registry // nil when no listener speaks Kafka
	budget    *memory.Budget    // of requests in flight

	privileged *memory.Budget // the same of privileged listeners
	requests   *requests
	server     *socketserver.Server
	channel    *requestchannel.Channel
	dynamic    *dynamic

	metrics    *metrics
	requestLog *requestlog.Log

	saving     sync.WaitGroup // of api versions
	stopSaving context.CancelFunc

	users     sasl.Stores // nil until a listener needs it
	keySets   map[keySource]*sasl.KeySet
	followers *followers
}

// New makes a front end. It connects to NATS and opens no port yet.
func New(cfg Config, deps service.Deps) (_ *Service, err error) {
	s := &Service{cfg: cfg, deps: deps, id: nuid.Next(), opened: make(chan struct{}), followers: newFollowers(), keySets: map[keySource]*sasl.KeySet{}}
	s.log = deps.Log.With("service", "frontend", "frontend", s.id)
	deps.Ready.Waiting(ports, "not open yet")
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.cfg = cfg.withBudgets(service.MemoryLimit(), s.log)
	if s.listeners, err = s.cfg.listeners(); err != nil {
		return nil, err
	}
	if s.nc, err = deps.Connect("kanal-frontend"); err != nil {
		return nil, err
	}
	if s.large, err = deps.Connect("kanal-frontend-large"); err != nil {
		return nil, err
	}
	if err = s.openRegistry(); err != nil {
		return nil, err
	}
	s.dynamic = s.newDynamic()
	return s, s.build()
}

func (s *Service) speaksKafka() bool {
	return slices.ContainsFunc(s.listeners, func(l listener) bool { return l.Kind == socketserver.KindKafka })
}

// openTimeout bounds how long the cluster's bucket may take to open, and host names to be looked up.
const openTimeout = 30 * time.Second

func (s *Service) openRegistry() error {
	if !s.speaksKafka() {
		return nil
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	s.registry, err = cluster.Open(ctx, js, cluster.Config{Cluster: s.cfg.Cluster}, s.log)
	return err
}

// build puts reactor and request channel together.
func (s *Service) build() (err error) {
	s.budget = memory.NewBudget(s.cfg.QueuedMaxRequestBytes)
	s.privileged = memory.NewBudget(privilegedShare.of(s.cfg.QueuedMaxRequestBytes))
	s.deps.Metrics.MustRegister(s.budget.Collectors()...)
	s.metrics = newMetrics(s.deps.Metrics)
	s.requestLog = requestlog.New(s.log, s.deps.Metrics)
	if err := s.requestLog.Update(s.cfg.requestLog()); err != nil {
		return err
	}
	s.requests = &requests{frontEnd: s.id, cluster: func() cluster.Info { return s.registry.Info() }, metrics: s.metrics}
	if s.channel, err = requestchannel.NewChannel(s.channelConfig(), s.nc, s.large, s.requests, s.log); err != nil {
		return err
	}
	s.requests.channel = s.channel
	if err = s.buildServer(); err != nil {
		s.channel.View().Close() // Run would
		return err
	}
	s.channel.Watch(s.deps.Metrics)
	s.pages()
	return nil
}

func (s *Service) buildServer() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	cfg := socketserver.Config{Budget: s.budget, PrivilegedBudget: s.privileged, Assignment: assignments[s.cfg.ProcessorAssignment]}
	if cfg.Quotas, err = s.dynamic.quotas(ctx); err != nil {
		return err
	}
	for _, l := range s.dynamic.listeners() {
		if err = s.authenticate(&l); err != nil {
			return err
		}
		cfg.Listeners = append(cfg.Listeners, l.ListenerConfig)
	}
	s.server, err = socketserver.New(cfg, s.requests, s.log, s.deps.Metrics)
	s.dynamic.server = s.server
	return err
}

func (s *Service) channelConfig() requestchannel.ChannelConfig {
	cfg := requestchannel.ChannelConfig{
		Subjects: requestchannel.Subjects{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster},
		FrontEnd: s.id, Release: service.Release,
		QueuedMaxRequests: s.cfg.QueuedMaxRequests, QueuedMaxBytes: s.cfg.QueuedMaxRequestBytes / 2, Budget: s.budget, PrivilegedBudget: s.privileged,
		ParkedMaxBytes: s.cfg.ParkedMaxBytes, ResponseMaxBytes: s.cfg.ResponseMaxBytes,
		RequestTimeout: s.cfg.RequestTimeout, ProbeInterval: probeInterval, Now: socketserver.Now,
		Metrics: s.metrics.channel, Recorder: s.requestLog,
	}
	if s.registry != nil {
		saving, stop := context.WithCancel(context.Background())
		s.stopSaving = stop
		cfg.Known = s.registry.Versions()
		cfg.OnVersions = func(service string, versions protocol.Ranges) {
			s.saving.Go(func() { s.saveVersions(saving, service, versions) })
		}
	}
	return cfg
}

// probeInterval is the silence after which a handler that owes an answer is
// probed; with it a killed one is known well within 50 ms.
const probeInterval = 25 * time.Millisecond

// saveVersions keeps what a service answers in the cluster's bucket, so that a
// front end that starts while it is away knows it too.
func (s *Service) saveVersions(ctx context.Context, service string, versions protocol.Ranges) {
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.registry.SaveVersions(limit, service, versions); err != nil && ctx.Err() == nil {
		s.log.Warn("api versions not saved; a front end that starts while the service is away does not know them", "service", service, "err", err)
	}
}

// Run opens the ports once every required service is known, serves until ctx
// ends or another front end has taken over, and drains: ports close, requests
// under way are answered, connections close.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	channel, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.channel.Run(channel) }()
	err := s.serve(ctx)
	stop()
	return errors.Join(err, <-ended)
}

func (s *Service) serve(ctx context.Context) error {
	if !s.awaitServices(ctx) {
		return nil
	}
	before, err := s.inherit(ctx)
	if err != nil {
		return err
	}
	defer before.Close()
	if err := s.server.Start(); err != nil {
		return err
	}
	administrators, err := s.administer()
	if err != nil {
		return errors.Join(err, s.server.Close())
	}
	defer func() { _ = administrators.Unsubscribe() }() // an error: the connection is gone, and the subscription with it
	s.warnOfBrokers()
	s.dynamic.look(ctx)
	stopFollowing := s.follow(ctx)
	close(s.opened)
	s.deps.Ready.Done(ports)
	s.relieve(before)
	replaced := s.awaitEnd(ctx)
	stopFollowing()
	s.deps.Ready.Waiting(ports, "draining")
	if replaced {
		s.settle(ctx)
	}
	return s.drain(ctx)
}

// follow applies changes of broker configs until it is stopped.
func (s *Service) follow(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { s.dynamic.follow(ctx) })
	return func() {
		cancel()
		following.Wait()
	}
}

// drain closes the ports, answers what is under way, and closes every connection.
func (s *Service) drain(ctx context.Context) error {
	s.log.Info("draining: ports closed, requests under way are answered", "requests", s.channel.InFlight())
	s.channel.EndLongPolls()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	if err := s.server.Drain(limit); err != nil {
		s.log.Warn("closed connections with requests under way", "requests", s.channel.InFlight(), "waited", s.cfg.DrainTimeout)
	}
	return s.server.Close()
}

// ports is what readiness waits for: from New until they are open, and again
// once they close.
const ports = "ports"

// awaitServices waits until the table of api versions is complete; false when
// ctx ended first.
func (s *Service) awaitServices(ctx context.Context) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun, warned := time.Now(), false; ; {
		missing := s.missingServices()
		if len(missing) == 0 {
			return true
		}
		s.deps.Ready.Waiting(ports, "no announcement yet of "+strings.Join(missing, ", "))
		if !warned && time.Since(begun) > 3*time.Second {
			warned = true
			s.log.Warn("ports stay closed until these services have announced themselves", "missing", missing, "cluster", s.cfg.Cluster)
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (s *Service) missingServices() (missing []string) {
	if !s.speaksKafka() {
		return nil
	}
	known := map[string]bool{}
	for service := range maps.Keys(s.registry.Versions()) {
		known[service] = true
	}
	for _, h := range s.channel.View().Handlers() {
		known[h.Service] = true
	}
	for _, name := range s.cfg.RequiredServices {
		if !known[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

func (s *Service) warnOfBrokers() {
	if s.registry != nil && s.registry.Info().Brokers != s.cfg.Brokers {
		s.log.Warn("the cluster has another number of brokers than this front end has ports for; set KANAL_BROKERS alike in all services", "here", s.cfg.Brokers, "cluster", s.registry.Info().Brokers)
	}
}

// announce tells the cluster where clients connect and what this front end is
// configured with, and the log which listeners are new.
func (s *Service) announce(listeners []listener, config *requestchannel.FrontEndConfig) {
	addresses := map[string]requestchannel.Address{}
	for _, l := range listeners {
		a := l.address(s.server)
		if addresses[l.Name] = a; a != s.addresses[l.Name] {
			s.log.Info("listening", "listener", l.Name, "kind", l.Kind.String(), "addr", s.server.Addr(l.Name, 0).String(), "advertised", fmt.Sprintf("%s:%d", a.Host, a.Port), "brokers", l.Brokers)
		}
	}
	s.addresses = addresses
	s.channel.SetAddresses(addresses)
	s.channel.SetConfig(config)
}

// Opened is closed when the ports are open.
func (s *Service) Opened() <-chan struct{} { return s.opened }

// Addr is where a listener is bound, once Run has opened it: nil before.
func (s *Service) Addr(listener string) string {
	if a := s.server.Addr(listener, 0); a != nil {
		return a.String()
	}
	return ""
}

// Advertised is where clients are told to connect first: host:port of the first
// listener, empty while none is open. It is known once the ports are open.
func (s *Service) Advertised() string {
	open := s.dynamic.listeners()
	if len(open) == 0 {
		return ""
	}
	a := open[0].address(s.server)
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

func (s *Service) close() {
	s.followers.close()
	if s.stopSaving != nil {
		s.stopSaving()
		s.saving.Wait()
	}
	if s.registry != nil {
		s.registry.Close()
	}
	if s.budget != nil {
		for _, c := range s.budget.Collectors() {
			s.deps.Metrics.Unregister(c)
		}
	}
	for _, nc := range []*nats.Conn{s.nc, s.large} {
		if nc != nil {
			nc.Close()
		}
	}
	if s.metrics != nil {
		s.metrics.unregister()
	}
	if s.dynamic != nil {
		s.dynamic.metrics.unregister()
	}
	if s.requestLog != nil {
		s.requestLog.Close()
	}
}
