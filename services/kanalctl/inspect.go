package kanalctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"kanal/libs/admin"
	"kanal/libs/requestchannel"
)

// FrontEnds lists a cluster's front ends as they announce themselves.
type FrontEnds struct {
	Cluster   string                    `json:"cluster"`
	FrontEnds []requestchannel.FrontEnd `json:"frontEnds"` // by id
}

func (q *questions) frontEnds(context.Context) (table, error) {
	return &FrontEnds{q.cfg.Cluster, q.view.FrontEnds()}, nil
}

// Handlers lists a cluster's handler instances with what front ends gave them.
type Handlers struct {
	Cluster  string     `json:"cluster"`
	Handlers []InHand   `json:"handlers"` // by service, then id
	Queued   []FrontEnd `json:"frontEnds"`
}

// InHand is a handler instance: what it announces, and what it has of all front
// ends together.
type InHand struct {
	requestchannel.Handler
	Outstanding         int     `json:"outstanding"`
	Parked              int     `json:"parked"`
	OldestParkedSeconds float64 `json:"oldestParkedSeconds"`
}

// FrontEnd is what waits in one front end, by service.
type FrontEnd struct {
	ID     string           `json:"id"`
	Queued map[string]int64 `json:"queued"`
}

func (q *questions) handlers(ctx context.Context) (table, error) {
	list := &Handlers{Cluster: q.cfg.Cluster, Handlers: []InHand{}, Queued: []FrontEnd{}}
	loads := map[string]*InHand{}
	err := askEach(ctx, q, "handlers", func(a *admin.Handlers) {
		list.Queued = append(list.Queued, FrontEnd{a.FrontEnd, a.Queued})
		for _, h := range a.Handlers {
			if loads[h.ID] == nil {
				loads[h.ID] = new(InHand)
			}
			loads[h.ID].add(&h)
		}
	})
	for _, h := range q.view.Handlers() {
		if h.State == requestchannel.StateGone {
			continue
		}
		in := InHand{}
		if known := loads[h.ID]; known != nil {
			in = *known
		}
		in.Handler = h
		list.Handlers = append(list.Handlers, in)
	}
	slices.SortStableFunc(list.Handlers, func(a, b InHand) int { return cmp.Compare(a.Service, b.Service) })
	return list, err
}

func (in *InHand) add(h *admin.Handler) {
	in.Outstanding += h.Outstanding
	in.Parked += h.Parked
	in.OldestParkedSeconds = max(in.OldestParkedSeconds, h.OldestParkedSeconds)
}

// Connections lists open connections by front end.
type Connections struct {
	Cluster   string              `json:"cluster"`
	FrontEnds []admin.Connections `json:"frontEnds"`
}

func (q *questions) connections(ctx context.Context) (table, error) {
	list := &Connections{q.cfg.Cluster, []admin.Connections{}}
	err := askEach(ctx, q, "connections", func(a *admin.Connections) { list.FrontEnds = append(list.FrontEnds, *a) })
	return list, err
}

// Requests lists requests by front end.
type Requests struct {
	Cluster   string           `json:"cluster"`
	FrontEnds []admin.Requests `json:"frontEnds"`
}

func (q *questions) requests(ctx context.Context) (table, error) {
	list := &Requests{q.cfg.Cluster, []admin.Requests{}}
	err := askEach(ctx, q, "requests", func(a *admin.Requests) { list.FrontEnds = append(list.FrontEnds, *a) })
	return list, err
}

// Done says what close or drain has done.
type Done struct {
	Cluster string `json:"cluster"`
	admin.Done
}

// close asks front ends until one has the connection.
func (q *questions) close(ctx context.Context) (table, error) {
	var errs []error
	for _, fe := range q.view.FrontEnds() {
		done := &Done{Cluster: q.cfg.Cluster}
		err := q.ask(ctx, fe.ID, "close", url.Values{"connection": {q.name}}, &done.Done)
		if err == nil {
			return done, nil
		}
		if !errors.Is(err, admin.ErrNotFound) {
			errs = append(errs, fmt.Errorf("front end %s: %w", fe.ID, err))
		}
	}
	return nil, errors.Join(append(errs, fmt.Errorf("no front end of %s has a connection %q", q.where(), q.name))...)
}

// goneTimeout bounds how long a handler that drains is waited for; services give
// up what they hold after KANAL_DRAIN_TIMEOUT, 30 s.
const goneTimeout = 40 * time.Second

// drain waits until the handler has left.
func (q *questions) drain(ctx context.Context) (table, error) {
	done := &Done{Cluster: q.cfg.Cluster}
	var err error
	if done.Done, err = requestchannel.Drain(ctx, q.nc, q.subjects(), q.name, whoami()); err != nil {
		return nil, err
	}
	limit := time.After(goneTimeout)
	for !q.gone() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			return done, fmt.Errorf("handler %s has not left within %s", q.name, goneTimeout)
		case <-ctx.Done():
			return done, ctx.Err()
		}
	}
	done.Done.Done = "handler " + q.name + " has left"
	return done, nil
}

func (q *questions) gone() bool {
	return !slices.ContainsFunc(q.view.Handlers(), func(h requestchannel.Handler) bool {
		return h.ID == q.name && h.State != requestchannel.StateGone
	})
}
