package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/nats-io/nats.go"

	"kanal/libs/admin"
	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
)

// administration is what this front end answers administrators, over NATS and as
// pages: connections, requests, handlers, and to close a connection. To drain a
// handler is that handler's to be asked; the page passes it on.
type administration struct {
	frontEnd string
	server   *socketserver.Server
	channel  *requestchannel.Channel
	recent   func() [][]byte // requests that have ended
	drain    admin.Verb
	log      func(msg string, args ...any)
	opened   <-chan struct{}
}

func (s *Service) newAdministration() *administration {
	return &administration{s.id, s.server, s.channel, s.requestLog.Recent, s.drainHandler, s.log.Info, s.opened}
}

// administer answers until the subscription is ended.
func (s *Service) administer() (*nats.Subscription, error) {
	a := s.newAdministration()
	subjects := requestchannel.Subjects{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster}
	return admin.Serve(s.nc, subjects.Admin(s.id), map[string]admin.Verb{
		"connections": a.connections, "requests": a.requests, "handlers": a.handlers, "close": a.close,
	}, s.log)
}

// pages puts the same on the process's HTTP address, if it has one.
func (s *Service) pages() {
	if s.deps.Pages == nil {
		return
	}
	a := s.newAdministration()
	s.deps.Pages.Handle("GET /connections", admin.Page(a.connections))
	s.deps.Pages.Handle("GET /requests", admin.Page(a.requests))
	s.deps.Pages.Handle("GET /handlers", admin.Page(a.handlers))
	s.deps.Pages.Handle("POST /close", admin.Action(s.cfg.HTTPToken, a.close))
	s.deps.Pages.Handle("POST /drain", admin.Action(s.cfg.HTTPToken, a.drain))
}

func (a *administration) handlers(ctx context.Context, q url.Values) (any, error) {
	if err := admin.Known(q); err != nil {
		return nil, err
	}
	return a.channel.Load(ctx)
}

// close closes a connection, which its client sees as an orderly end.
func (a *administration) close(ctx context.Context, q url.Values) (any, error) {
	if err := admin.Known(q, "connection"); err != nil {
		return nil, err
	}
	id, err := admin.Need(q, "connection")
	if err != nil {
		return nil, err
	}
	closed, _, err := lookAt(ctx, a, socketserver.Place{}, 1, func(s socketserver.Seen) (client string, found bool) {
		if s.ID != id {
			return "", false
		}
		s.Close()
		return s.ClientAddress, true
	})
	if err != nil {
		return nil, err
	}
	if len(closed) == 0 {
		return nil, fmt.Errorf("%w: front end %s has no connection %q", admin.ErrNotFound, a.frontEnd, id)
	}
	a.log("closed a connection: an administrator asked for it", "by", admin.Asker(q), "conn", id, "client", closed[0])
	return admin.Done{Done: "connection " + id + " is closed"}, nil
}

// drainHandler passes the word on.
func (s *Service) drainHandler(ctx context.Context, q url.Values) (any, error) {
	if err := admin.Known(q, "handler"); err != nil {
		return nil, err
	}
	id, err := admin.Need(q, "handler")
	if err != nil {
		return nil, err
	}
	subjects := requestchannel.Subjects{Prefix: s.cfg.Prefix, Cluster: s.cfg.Cluster}
	return requestchannel.Drain(ctx, s.nc, subjects, id, admin.Asker(q))
}

// requests gives the oldest in flight that fit the filters, and the newest that
// have ended.
func (a *administration) requests(ctx context.Context, q url.Values) (any, error) {
	if err := admin.Known(q, append(requestFilters, "limit")...); err != nil {
		return nil, err
	}
	limit, err := admin.Limit(q)
	if err != nil {
		return nil, err
	}
	want := func(r *admin.Request) bool { return wanted(q, requestFilters, requestFields(r)) }
	inFlight, err := a.channel.Oldest(ctx, limit, want)
	if err != nil {
		return nil, err
	}
	writing, err := a.writing(ctx, limit, want)
	if err != nil {
		return nil, err
	}
	answer := admin.Requests{FrontEnd: a.frontEnd, InFlight: oldestOf(append(inFlight, writing...), limit)}
	for _, line := range a.recent() {
		answer.Ended = append(answer.Ended, json.RawMessage(line))
	}
	return answer, nil
}
