package socketserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"kanal/libs/memory"
	"kanal/libs/network"
)

var (
	// ErrStarted reports a second Start.
	ErrStarted = errors.New("socketserver: already started")
	// ErrClosed reports a Start after Close, or after a Start that failed half way, and a change of what is being closed.
	ErrClosed = errors.New("socketserver: closed")
	// ErrNoListener reports a listener that does not exist.
	ErrNoListener = errors.New("socketserver: no such listener")
	// ErrNoTLS reports UpdateTLS for a listener that does not speak TLS.
	ErrNoTLS = errors.New("socketserver: no TLS listener")
)

// Server owns the acceptors and processors of all listeners (SocketServer, A1).
//
// What changes it (Start, Resize, AddListener, RemoveListener, UpdateQuotas, Close) goes one after the other (W15).
type Server struct {
	// immutable after New
	rc           RequestChannel
	assignment   Assignment
	removalLimit time.Duration
	lastCall     time.Duration
	quotas       *connectionQuotas
	budget       *memory.Budget

	privilegedBudget *memory.Budget
	metrics          *metrics
	workers          *workers
	handshakes       *network.Handshakes
	reg              prometheus.Registerer
	log              *slog.Logger

	processors registry
	running    sync.WaitGroup // processors

	mu        sync.Mutex
	acceptors []*acceptor     // guarded by mu
	leaving   map[string]bool // listeners on their way out; guarded by mu
	started   bool            // guarded by mu
	draining  bool            // guarded by mu
	closed    bool            // guarded by mu
	addresses map[endpoint]net.Addr
	inherited inherited // guarded by mu; no listener's yet
}

type endpoint struct {
	listener string
	broker   int32
}

// New makes all parts of a server and starts none: no port is bound (B1). Close it even if it is never started.
func New(cfg Config, rc RequestChannel, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	listeners, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	handshakes := network.NewHandshakes(handshakesUnderWay, runtime.NumCPU())
	s := &Server{
		rc: rc, assignment: cfg.Assignment, removalLimit: cmp.Or(cfg.RemovalLimit, 10*time.Second), lastCall: cmp.Or(cfg.LastCall, time.Second),
		quotas: newConnectionQuotas(cfg.Quotas, log), metrics: newMetrics(handshakes), log: log,
		workers: newWorkers(), budget: cfg.Budget, privilegedBudget: cfg.PrivilegedBudget, handshakes: handshakes,
		leaving: map[string]bool{}, addresses: map[endpoint]net.Addr{},
	}
	for _, l := range listeners {
		if _, err := s.add(l); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := s.metrics.register(reg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.reg = reg
	return s, nil
}

// complete sets the defaults and reports all that is wrong.
func (c Config) complete() ([]ListenerConfig, error) {
	var listeners []ListenerConfig
	errs := []error{c.Quotas.validate()}
	names := map[string]bool{}
	for _, l := range c.Listeners {
		l = l.withDefaults()
		errs = append(errs, l.validate())
		if names[l.Name] {
			errs = append(errs, fmt.Errorf("listener %q: configured twice", l.Name))
		}
		names[l.Name] = true
		listeners = append(listeners, l)
	}
	return listeners, errors.Join(errs...)
}

// orderExcess asks all processors but those of privileged listeners to close what is too much; whoever comes first does.
func (s *Server) orderExcess() {
	for _, p := range s.Processors() {
		if !p.listener.Privileged {
			p.order(orders{excess: true})
		}
	}
}

// UpdateQuotas replaces the server's quotas, and those of the listeners that are named. Acceptors that wait ask again;
// nothing that is open is closed, but what exceeds a lower Quotas.MaxConnections (D14). An error changes nothing (D15).
func (s *Server) UpdateQuotas(q Quotas, listeners map[string]ListenerQuotas) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := []error{q.validate()}
	for name, l := range listeners {
		if s.acceptor(name) == nil {
			errs = append(errs, fmt.Errorf("%w: %q", ErrNoListener, name))
		}
		if err := l.validate(); err != nil {
			errs = append(errs, fmt.Errorf("listener %q: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if s.quotas.update(q, listeners) {
		s.orderExcess()
	}
	return nil
}

// Processors are those of all listeners at this moment, those that retire included, by rising id.
func (s *Server) Processors() []*Processor { return s.processors.list() }

// Start binds every port, starts the processors, then the acceptors: an open port means a server that answers (B4). On
// an error nothing is left running, and the server is closed.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.started {
		return ErrStarted
	}
	if err := s.start(); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

func (s *Server) start() error {
	for _, a := range s.acceptors {
		if err := a.bind(s.inherited); err != nil {
			return err
		}
		s.note(a)
	}
	s.started = true
	for _, p := range s.Processors() {
		s.run(p)
	}
	for _, a := range s.acceptors {
		if err := a.start(); err != nil {
			return fmt.Errorf("listener %s: %w", a.listener.Name, err)
		}
	}
	return nil
}

func (s *Server) run(p *Processor) {
	s.running.Go(func() {
		p.run()
		s.dismiss(p)
	})
}

// note keeps the addresses, which outlive the sockets. With a single broker its port is the bootstrap port.
func (s *Server) note(a *acceptor) {
	for _, l := range a.sockets {
		brokers := []int32{l.broker}
		if a.listener.Brokers == 1 {
			brokers = []int32{0, 1}
		}
		for _, b := range brokers {
			if e := (endpoint{a.listener.Name, b}); s.addresses[e] == nil {
				s.addresses[e] = net.TCPAddrFromAddrPort(l.address)
			}
		}
	}
}

// Addr is where a listener's broker is bound, broker 0 being the bootstrap port; the first address of a host with
// several. It is nil before Start and for what does not exist (C12).
func (s *Server) Addr(listener string, broker int32) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[endpoint{listener, broker}]
}

// StopAccepting closes the ports; open connections go on. It may be called at any time and more than once.
func (s *Server) StopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopAccepting()
}

func (s *Server) stopAccepting() {
	for _, a := range s.acceptors {
		a.stop()
	}
}

// Drain closes the ports, takes no further requests, and closes each connection as soon as its last answer is written.
// It returns when none is left, or with ctx's error; then Close ends the rest.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.stopAccepting()
	s.draining = true
	idle := !s.started || s.closed
	s.mu.Unlock()
	if idle {
		return nil
	}
	processors := s.Processors()
	for _, p := range processors {
		p.order(orders{drain: true})
	}
	for _, p := range processors {
		select {
		case <-p.drained:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close stops everything at once and returns when it is gone: ports, connections, descriptors, goroutines. Responses
// that were not written end as Shutdown. A second call does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return s.close()
}

func (s *Server) close() error {
	s.closed = true
	s.stopAccepting()
	for _, fd := range s.inherited {
		_ = unix.Close(fd) // nothing was written
	}
	s.inherited = nil
	if s.started {
		s.end(s.Processors())
		s.running.Wait()
	} else {
		s.drop(s.Processors())
	}
	s.workers.wait()
	s.metrics.unregister(s.reg)
	return nil
}

// end stops processors that run and waits until they are gone.
func (s *Server) end(processors []*Processor) {
	for _, p := range processors {
		p.order(orders{stop: true})
	}
	for _, p := range processors {
		<-p.gone
	}
}

// drop lets processors go that never ran.
func (s *Server) drop(processors []*Processor) {
	for _, p := range processors {
		p.finish()
		s.dismiss(p)
	}
}
