package requestchannel

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"kanal/libs/admin"
)

// listenToAdministrators has the instance drain when it is told to, as if its
// process was.
func (s *Server) listenToAdministrators(drain func()) (*nats.Subscription, error) {
	return admin.Serve(s.nc, s.cfg.Admin(s.id), map[string]admin.Verb{
		"drain": func(_ context.Context, q url.Values) (any, error) {
			s.log.Info("draining: an administrator asked for it", "by", admin.Asker(q))
			drain()
			return admin.Done{Done: "handler " + s.id + " of " + s.cfg.Service + " drains"}, nil
		},
	}, s.log)
}

// Drain tells a handler instance to drain, by being who asks for it.
func Drain(ctx context.Context, nc *nats.Conn, subjects Subjects, handler, by string) (done admin.Done, err error) {
	if !legalToken(handler) {
		return done, fmt.Errorf("%w: handler is %q", admin.ErrInvalid, handler)
	}
	err = admin.Ask(ctx, nc, subjects.Admin(handler), "drain", url.Values{admin.By: {by}}, &done)
	if errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("%w: there is no handler %q", admin.ErrNotFound, handler)
	}
	return done, err
}

func (s *Server) forget(in *Incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := (requestKey{in.FrontEnd, in.ID}); s.inflight[key] == in { // else: redelivered to us meanwhile
		delete(s.inflight, key)
	}
	if s.idle != nil && len(s.inflight) == 0 {
		close(s.idle)
		s.idle = nil
	}
	s.cfg.Metrics.done()
}

func (s *Server) parkedOne() { s.cfg.Metrics.park() }

// awaitReceived waits until receive has seen every request that came before the
// front ends' word that they send no more. Requests and announcements have
// goroutines of their own: that word may be heard while requests still wait
// behind their subscription, and leaving now would drop them unseen.
func (s *Server) awaitReceived(sub *nats.Subscription) {
	limit := time.Now().Add(AnnouncementTimeout)
	for time.Now().Before(limit) {
		waiting, _, err := sub.Pending()
		delivered, err2 := sub.Delivered()
		if err != nil || err2 != nil || waiting == 0 && delivered == s.received.Load() {
			return // an error: the connection is gone, and everything with it
		}
		time.Sleep(time.Millisecond)
	}
}

// drain finishes what is held. Long polls are cancelled: their handlers answer
// at once with what they have.
func (s *Server) drain() {
	s.mu.Lock()
	idle := make(chan struct{})
	if len(s.inflight) == 0 {
		close(idle)
	} else {
		s.idle = idle
	}
	for _, in := range s.inflight {
		if in.isParked() {
			in.cancel(context.Canceled)
		}
	}
	held := len(s.inflight)
	s.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(s.cfg.DrainTimeout):
		s.log.Warn("stopped with requests in hand; front ends will dispatch them again", "requests", held, "waited", s.cfg.DrainTimeout)
		s.cancelAll()
	}
	s.presence.gone()
}

func (s *Server) cancelAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.inflight {
		in.cancel(context.Canceled)
	}
}

func (in *Incoming) isParked() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.parked
}
