package requestchannel

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"kanal/libs/future"
)

// presence announces a handler instance, and remembers when, because a request
// that answers to an old announcement is stale: this process slept or was cut
// off, and the request has been given to another meanwhile.
type presence struct {
	s      *Server
	wakeup chan struct{}

	mu        sync.Mutex
	state     string
	number    uint64
	published map[uint64]time.Time
	// least is the number below which requests are stale whatever their age:
	// they were buffered from before a reconnect.
	least   uint64
	session uint64
	// life changes when front ends may have taken this instance for lost, and
	// given to others what it holds: it was silent for long, or reconnected.
	life      uint64
	last      time.Time // of the announcements
	frontEnds int
}

func (p *presence) init(s *Server) {
	p.s, p.state, p.wakeup = s, StateReady, make(chan struct{}, 1)
	p.published = map[uint64]time.Time{}
	s.view.OnChange(p.wake)
}

func (p *presence) wake() {
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
}

// run announces until ctx ends and then until every front end knows that this
// instance is draining.
func (p *presence) run(ctx context.Context) {
	tick := time.NewTicker(AnnouncementInterval)
	defer tick.Stop()
	reconnected, large := p.s.nc.StatusChanged(nats.CONNECTED), p.s.large.StatusChanged(nats.CONNECTED)
	defer p.s.nc.RemoveStatusListener(reconnected)
	defer p.s.large.RemoveStatusListener(large)
	p.announce()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-tick.C:
			p.announce()
			p.s.assemblies.sweep(now, p.s.view.hasFrontEnd)
		case <-reconnected:
			p.afterReconnect()
		case <-large:
			p.afterReconnect()
		case <-p.wakeup:
			p.announceToNewcomers()
		}
	}
	p.drain(tick)
}

// drain announces the draining and waits until all live front ends have seen
// it; while NATS is away nobody can.
func (p *presence) drain(tick *time.Ticker) {
	p.mu.Lock()
	p.state = StateDraining
	p.mu.Unlock()
	from := p.announce()
	limit := time.After(AnnouncementTimeout)
	for p.s.nc.IsConnected() && !p.seenByAll(from) {
		select {
		case <-limit:
			return
		case <-tick.C:
			p.announce()
		case <-p.wakeup:
		}
	}
}

func (p *presence) seenByAll(number uint64) bool {
	for _, f := range p.s.view.FrontEnds() {
		if f.Draining[p.s.id] < number {
			return false
		}
	}
	return true
}

// announceToNewcomers announces at once when the set of front ends changed: a
// new one learns of us, and the window's shares change.
func (p *presence) announceToNewcomers() {
	n := len(p.s.view.FrontEnds())
	p.mu.Lock()
	changed := n != p.frontEnds
	p.mu.Unlock()
	if changed {
		p.announce()
	}
}

func (p *presence) afterReconnect() {
	p.mu.Lock()
	p.least = p.number + 1
	p.session++
	p.life++
	p.mu.Unlock()
	p.announce()
}

func (p *presence) gone() {
	p.mu.Lock()
	p.state = StateGone
	p.mu.Unlock()
	p.announce()
}

// announce publishes the state with the next number, which it returns.
func (p *presence) announce() uint64 {
	now := time.Now()
	p.mu.Lock()
	if p.silent(now) {
		p.life++
	}
	p.last = now
	p.number++
	p.frontEnds = len(p.s.view.FrontEnds())
	p.published[p.number] = now
	for n, at := range p.published {
		if now.Sub(at) > 2*AnnouncementTimeout {
			delete(p.published, n)
		}
	}
	b, err := json.Marshal(struct {
		Handler
		future.Fields
	}{Handler: p.announcement()})
	number := p.number
	p.mu.Unlock()
	if err == nil {
		err = p.s.nc.Publish(p.s.cfg.Handlers(), b)
	}
	if err != nil {
		p.s.log.Debug("announcement not sent", "err", err) // NATS is away; the next one follows
	}
	return number
}

func (p *presence) announcement() Handler {
	c := p.s.cfg
	return Handler{
		Version: AnnouncementVersion, ID: p.s.id, Number: p.number, Session: p.session, Service: c.Service, Release: c.Release,
		State: p.state, Affinity: c.Affinity, APIs: c.APIs, Ordered: c.Ordered, Window: c.Window, FrontEnds: p.frontEnds,
	}
}

// stale tells whether a request that knew announcement number may have been
// given to another instance since, or comes too late for an instance that is
// leaving.
func (p *presence) stale(number uint64, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, known := p.published[number]
	return !known || number < p.least || now.Sub(at) > AnnouncementTimeout || p.state != StateReady
}

// silent tells whether the last announcement is so old that a front end may not
// have heard of this instance for AnnouncementTimeout.
func (p *presence) silent(now time.Time) bool {
	return !p.last.IsZero() && now.Sub(p.last) > AnnouncementTimeout*3/4
}

// overtaken tells whether front ends may have given to others what was taken in
// a life.
func (p *presence) overtaken(life uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life != life || p.silent(time.Now())
}

// present is the life that a request is taken in.
func (p *presence) present() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}
