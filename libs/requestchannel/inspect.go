package requestchannel

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kanal/libs/admin"
	"kanal/libs/protocol"
)

// ErrNotRunning reports a question to a channel that is not dispatching.
var ErrNotRunning = errors.New("requestchannel: the dispatcher does not run")

// ask has the dispatcher run f, which must be fast, between two steps of a pass.
func ask[T any](ctx context.Context, c *Channel, f func(d *dispatcher) T) (answer T, err error) {
	if !c.running.Load() {
		return answer, ErrNotRunning
	}
	answers := make(chan T, 1) // so that the dispatcher never waits
	c.inbox.put(func(in *inbox) { in.asked = append(in.asked, func() { answers <- f(&c.dispatcher) }) })
	select {
	case answer = <-answers:
		return answer, nil
	case <-ctx.Done():
		return answer, errors.Join(ErrNotRunning, ctx.Err())
	}
}

// processAsked answers who asks what only the dispatcher knows.
func (d *dispatcher) processAsked() {
	for _, f := range d.in.asked {
		f()
	}
}

// looksPerAPI bounds how many requests of an api one question has looked at.
const looksPerAPI = 10_000

// Oldest gives at most so many of the requests without an outcome that are
// wanted, the oldest first, looked for among the ten thousand oldest of each api.
func (c *Channel) Oldest(ctx context.Context, most int, want func(*admin.Request) bool) ([]admin.Request, error) {
	return ask(ctx, c, func(d *dispatcher) []admin.Request { return d.oldest(most, want) })
}

func (d *dispatcher) oldest(most int, want func(*admin.Request) bool) []admin.Request {
	all := []admin.Request{}
	d.c.cfg.Metrics.each(func(a *apiMetrics) {
		found := 0
		for p, looks := a.underWay.oldest, 0; p != nil && looks < looksPerAPI && found < most; p, looks = p.newer, looks+1 {
			if r := p.Describe(d.now); want(&r) {
				all = append(all, r)
				found++
			}
		}
	})
	slices.SortStableFunc(all, func(a, b admin.Request) int { return cmp.Compare(b.AgeSeconds, a.AgeSeconds) })
	return all[:min(most, len(all))]
}

// where are the states' names.
var where = [...]string{queued: admin.Queued, outstanding: admin.Handled, parked: admin.Parked, answered: admin.Writing}

// Describe tells what an administrator wants to know of p. It belongs to whoever
// p belongs to; now is ChannelConfig.Now's.
func (p *Pending) Describe(now int64) admin.Request {
	var o Origin
	_ = o.parse(p.origin) // made here
	r := admin.Request{
		API: p.metrics.api, Version: p.APIVersion, AgeSeconds: atLeast0(now - p.received).Seconds(), Where: where[p.state],
		Handler: p.handler, Redelivered: p.Redelivered, Redirects: p.Redirects, Bytes: p.size,
		Connection: o.ConnectionID, Listener: admin.Cut(o.Listener), Principal: admin.Cut(o.Principal), Address: admin.Cut(o.ClientAddress),
	}
	if p.route != nil {
		r.Service = p.route.name
	}
	if p.instance != nil {
		r.Handler, r.WhereSeconds = p.instance.id, atLeast0(now-p.dispatched).Seconds()
	} else if p.state == queued && !p.Redelivered && p.Redirects == 0 {
		r.WhereSeconds = r.AgeSeconds
	}
	var h protocol.Header
	if frame := p.message[min(p.header, len(p.message)):]; p.APIKey >= 0 && len(frame) > 0 && protocol.ParseHeader(frame, &h) == nil {
		r.ClientID, r.CorrelationID = admin.Cut(string(h.ClientID)), h.CorrelationID
	}
	return r
}

// Load gives what each handler instance has of this front end, by service and
// id, and how many requests wait, by service.
func (c *Channel) Load(ctx context.Context) (admin.Handlers, error) {
	return ask(ctx, c, (*dispatcher).load)
}

func (d *dispatcher) load() admin.Handlers {
	l := admin.Handlers{FrontEnd: d.c.cfg.FrontEnd, Handlers: []admin.Handler{}, Queued: map[string]int64{}}
	oldest := d.oldestParked()
	for _, i := range d.instances {
		h := admin.Handler{ID: i.id, Service: i.service.name, State: i.state, Window: i.share, Outstanding: i.outstanding, Parked: i.parked}
		if since, some := oldest[i]; some {
			h.OldestParkedSeconds = atLeast0(d.now - since).Seconds()
		}
		if i.owes() {
			h.HeardSeconds = atLeast0(d.now - i.heard).Seconds()
		}
		l.Handlers = append(l.Handlers, h)
	}
	slices.SortFunc(l.Handlers, func(a, b admin.Handler) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID))
	})
	for _, r := range d.routes.all() {
		l.Queued[r.name] += r.waiting.all.requests()
	}
	return l
}

// oldestParked finds when the oldest long poll of each instance was received.
// Lists are by age, so that few have to be looked at where there are any.
func (d *dispatcher) oldestParked() map[*instance]int64 {
	oldest := map[*instance]int64{}
	holders := 0
	for _, i := range d.instances {
		if i.parked > 0 {
			holders++
		}
	}
	d.c.cfg.Metrics.each(func(a *apiMetrics) {
		left := a.parked
		met := map[*instance]bool{}
		for p, looks := a.underWay.oldest, 0; p != nil && left > 0 && looks < looksPerAPI && len(met) < holders; p, looks = p.newer, looks+1 {
			if p.state != parked {
				continue
			}
			left--
			if since, some := oldest[p.instance]; !some || p.received < since {
				oldest[p.instance] = p.received
			}
			met[p.instance] = true
		}
	})
	return oldest
}
