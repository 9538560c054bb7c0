package requestchannel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"kanal/libs/protocol"
)

// ServerConfig describes a handler instance.
type ServerConfig struct {
	Subjects
	Service  string // name of the service: its instances share a route
	Release  string // version of the binary, semantic
	APIs     protocol.Ranges
	Ordered  []protocol.APIKey
	Window   int // requests held at once, over all front ends
	Affinity Affinity
	// DrainTimeout bounds how long a stopping server waits for what it holds.
	DrainTimeout time.Duration
	Metrics      *ServerMetrics // nil: none
}

// Server is the handlers' side of the request channel: one announced instance.
type Server struct {
	cfg   ServerConfig
	id    string
	nc    *nats.Conn // small messages, requests
	large *nats.Conn // answers above LargeFrame
	view  *View
	serve func(*Incoming)
	log   *slog.Logger

	// owned by the subscription's goroutine
	origins map[string]Origin

	assemblies assemblies

	received atomic.Int64 // messages of the request subject that receive is done with
	served   served
	presence presence

	mu       sync.Mutex
	inflight map[requestKey]*Incoming
	idle     chan struct{} // closed when draining and nothing is held
}

type requestKey struct {
	frontEnd string
	id       uint64
}

// NewServer makes an instance with an id of its own. nc carries requests and
// small answers, large those above LargeFrame; both stay the caller's. serve is
// called on the subscription's goroutine for each request and must not block.
func NewServer(cfg ServerConfig, nc, large *nats.Conn, serve func(*Incoming), log *slog.Logger) (*Server, error) {
	if cfg.Window < 1 {
		return nil, fmt.Errorf("requestchannel: window %d of service %s, must be at least 1", cfg.Window, cfg.Service)
	}
	id := nuid.Next()
	log = log.With("handler", id, "service", cfg.Service)
	view, err := NewView(nc, cfg.Subjects, log)
	if err != nil {
		return nil, fmt.Errorf("subscribe to announcements: %w", err)
	}
	s := &Server{
		cfg: cfg, id: id, nc: nc, large: large, view: view, serve: serve, log: log,
		assemblies: assemblies{m: map[requestKey]*assembly{}}, origins: map[string]Origin{}, inflight: map[requestKey]*Incoming{},
	}
	s.presence.init(s)
	return s, nil
}

// ID is this instance's id, new with every start.
func (s *Server) ID() string { return s.id }

// View is the living cluster as this instance sees it.
func (s *Server) View() *View { return s.view }

// Run serves until ctx ends, then drains: it announces that, refuses what still
// arrives, finishes what it holds, and leaves.
func (s *Server) Run(ctx context.Context) error {
	defer s.view.Close()
	sub, err := s.nc.Subscribe(s.cfg.Request(s.id), s.receive)
	if err != nil {
		return fmt.Errorf("subscribe to requests: %w", err)
	}
	// Windows bound what can be pending; the client library's own limits would
	// drop silently.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("lift the limits of the request subscription: %w", err)
	}
	visible, err := s.register()
	if err != nil {
		return err
	}
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	words, err := s.listenToAdministrators(drain)
	if err != nil {
		return err
	}
	s.presence.run(ctx)
	s.awaitReceived(sub)
	s.drain()
	if !s.nc.IsConnected() {
		return nil // NATS is away, and has forgotten us already
	}
	return errors.Join(visible.stop(), words.Unsubscribe(), sub.Unsubscribe(), s.nc.FlushTimeout(2*time.Second))
}

// receive takes one message of the request subject.
func (s *Server) receive(m *nats.Msg) {
	defer s.received.Add(1)
	switch messageKind(m.Data) {
	case kindRequest:
		s.receiveRequest(m)
	case kindCancel:
		s.receiveCancel(m)
	case kindProbe:
	default:
		s.cfg.Metrics.invalid()
		s.log.Warn("ignored a message that is no envelope", "subject", m.Subject, "bytes", len(m.Data))
	}
}

func (s *Server) receiveRequest(m *nats.Msg) {
	in := &Incoming{server: s, reply: m.Reply, Received: time.Now(), life: s.presence.present()}
	if err := s.parse(m.Data, &in.Request); err != nil {
		s.cfg.Metrics.invalid()
		s.log.Warn("ignored an invalid request", "reply", m.Reply, "err", err)
		return
	}
	if in.Parts > 1 {
		whole, err := s.assemblies.add(in)
		if err != nil {
			s.log.Warn("dropped a request in parts", "frontend", in.FrontEnd, "err", err)
		}
		if !whole {
			return
		}
	}
	in.end = in.Received.Add(in.Request.Deadline)
	if s.presence.stale(in.Announcement, in.Received) {
		s.cfg.Metrics.refuse()
		s.publish(in, &Response{Kind: NotTaken})
		return
	}
	s.mu.Lock()
	s.inflight[requestKey{in.FrontEnd, in.ID}] = in
	s.mu.Unlock()
	s.cfg.Metrics.take(in.Redelivered)
	s.serve(in)
}

func (s *Server) receiveCancel(m *nats.Msg) {
	id, half, err := parseCancel(m.Data)
	if err != nil {
		s.cfg.Metrics.invalid()
		return
	}
	key := requestKey{frontEndOf(m.Reply, s.cfg.Subjects), id}
	s.assemblies.drop(key)
	s.mu.Lock()
	in := s.inflight[key]
	s.mu.Unlock()
	if in == nil {
		return
	}
	in.mu.Lock()
	parked := in.parked
	in.mu.Unlock()
	if parked || !half {
		in.cancel(context.Canceled)
	}
}
