package requestchannel

import (
	"context"
	"maps"
	"time"

	"github.com/nats-io/nats.go"

	"kanal/libs/protocol"
)

// dispatcher is the state between processors and handlers, owned by one
// goroutine.
type dispatcher struct {
	c         *Channel
	routes    *routes
	known     map[string]protocol.Ranges
	instances map[string]*instance
	bySubject map[string]*instance
	pendings  map[uint64]*Pending           // by request id
	byConn    map[connKey]*Pending          // by connection, the first of it
	redirects map[connKey]map[*Route]string // where a connection's requests of a route go
	wheel     wheel
	now       int64
	in        inbox   // what was taken from the door
	answered  []*lane // that have outcomes in this pass
	sender    sender
	announcer announcer
	grants    grants
	parked    int64 // bytes of parked frames
	ticked    int64
	heard     uint64 // announcements whose numbers are known
	endPolls  bool   // long polls are answered at once
	views     uint64 // counts changes of the view
	left      bool   // a request left its queue in this pass
	next      int    // of the lanes that are resumed, who is first
	// privileged tells that there were requests of privileged listeners: parts of
	// the windows are kept for them from then on.
	privileged bool
}

func (d *dispatcher) init(c *Channel) {
	*d = dispatcher{
		c: c, routes: &routes{cfg: &c.cfg, m: map[string]*Route{}}, known: maps.Clone(c.cfg.Known),
		instances: map[string]*instance{}, bySubject: map[string]*instance{},
		pendings: map[uint64]*Pending{}, byConn: map[connKey]*Pending{}, redirects: map[connKey]map[*Route]string{},
	}
	if d.known == nil {
		d.known = map[string]protocol.Ranges{}
	}
	d.announcer.c = c
	d.grants.limit, d.grants.wake = c.cfg.ResponseMaxBytes, func() { c.inbox.put(func(*inbox) {}) }
	c.table.Store(newTable(d.routes, d.known))
}

// run is the loop: one line a step.
func (d *dispatcher) run(ctx context.Context) {
	d.sender.start(d.c)
	defer d.sender.stop()
	reconnected, large := d.c.nc.StatusChanged(nats.CONNECTED), d.c.large.StatusChanged(nats.CONNECTED)
	defer d.c.nc.RemoveStatusListener(reconnected)
	defer d.c.large.RemoveStatusListener(large)
	timer := time.NewTimer(0)
	defer timer.Stop()
	d.in.viewChanged = true
	for {
		d.now = d.c.cfg.Now()
		d.processReconnect()
		d.processViewChange()
		d.processArrived()
		d.processDeaf()
		d.processSubmitted()
		d.processDisconnected()
		d.processEndPolls()
		d.processTimers()
		d.processAsked()
		d.dispatch()
		d.deliver()
		d.resume()
		timer.Reset(d.nextTimer())
		select {
		case <-ctx.Done():
			d.shutDown()
			return
		case <-reconnected:
			d.in.reconnected = true
		case <-large:
			d.in.reconnected = true
		case <-timer.C:
		case <-d.c.inbox.wakeup:
		}
		d.takeInbox()
	}
}

func (d *dispatcher) takeInbox() {
	reconnected := d.in.reconnected
	clear(d.in.submitted)
	clear(d.in.arrived)
	d.c.inbox.take(&d.in)
	d.in.reconnected = d.in.reconnected || reconnected
}

// nextTimer is short while somebody owes an answer, else a step of the wheel or
// the next announcement.
func (d *dispatcher) nextTimer() time.Duration {
	next := d.announcer.due(d.now)
	if len(d.pendings) > 0 {
		next = min(next, d.c.cfg.ProbeInterval)
	}
	return next
}

// processReconnect gives out again what was under way when our connection to
// NATS broke: requests or answers may have been lost with it.
func (d *dispatcher) processReconnect() {
	if !d.in.reconnected {
		return
	}
	d.in.reconnected = false
	d.c.log.Info("dispatching again what was under way when NATS was lost", "requests", len(d.pendings))
	d.redispatch(func(p *Pending) bool { return true }, "nats_reconnected")
	d.announcer.now()
}

// processSubmitted takes in what processors submitted.
func (d *dispatcher) processSubmitted() {
	for _, p := range d.in.submitted {
		d.begin(p)
		if p.Privileged && !d.privileged {
			d.keepWindows()
		}
		waits := d.link(p)
		d.wheel.add(p)
		if to, redirected := d.redirects[p.conn()][p.route]; redirected && d.takesRedirects(to) {
			p.target = to
		}
		if waits {
			p.state = held
		} else {
			p.route.enqueue(p, false)
		}
	}
}

// begin takes p in, until finish.
func (d *dispatcher) begin(p *Pending) {
	p.metrics = d.c.cfg.Metrics.of(p.route.name, p.APIKey)
	p.metrics.underWay.add(p)
	d.pendings[p.ID] = p
}

// processDisconnected ends the requests of connections that are gone, and tells
// the handlers that hold them.
func (d *dispatcher) processDisconnected() {
	for _, gone := range d.in.disconnected {
		for p := d.byConn[gone.connKey]; p != nil; {
			later := p.later
			if p.half = true; gone.half {
				d.cancel(p, true)
			} else {
				d.cancel(p, false)
				d.finish(p).Done(ConnectionLost, d.now, 0)
			}
			p = later
		}
		if !gone.half {
			delete(d.redirects, gone.connKey)
		}
	}
}

// processEndPolls tells the handlers to answer their long polls.
func (d *dispatcher) processEndPolls() {
	if !d.in.endPolls {
		return
	}
	d.endPolls = true
	for _, p := range d.pendings {
		if p.state == parked {
			d.cancel(p, true)
		}
	}
}

// cancel tells the instance that holds p that its connection is gone.
func (d *dispatcher) cancel(p *Pending, half bool) {
	if p.state != outstanding && p.state != parked {
		return
	}
	b := appendCancel(nil, p.ID, half)
	if err := d.c.nc.PublishRequest(p.instance.subject, p.lane.reply, b); err != nil {
		d.c.log.Debug("cancel not sent", "err", err) // the handler's own deadline ends it
	}
}

// processTimers ends requests whose deadline has passed, probes silent
// instances, and announces this front end.
func (d *dispatcher) processTimers() {
	d.wheel.expire(d.now, func(p *Pending) {
		d.cancel(p, false)
		d.c.log.Warn("closed a connection: no answer before the deadline", "api", p.APIKey, "service", p.route.name, "waited", time.Duration(d.now-p.received), "queued", p.state == queued)
		d.outcome(p, Outcome{Kind: CloseConnection, Reason: ClosedByDeadline})
	})
	if d.now-d.ticked >= int64(d.c.cfg.ProbeInterval) {
		d.ticked = d.now
		d.probe()
	}
	d.announcer.at(d.in.addresses)
	d.announcer.with(d.in.config)
	d.announcer.tick(d.now)
}

// probe publishes to every silent instance that owes an answer: NATS reports
// at once when nobody listens there.
func (d *dispatcher) probe() {
	lanes := d.c.lanes.Load().all
	if len(lanes) == 0 {
		return // so nobody owes anything
	}
	silent := int64(d.c.cfg.ProbeInterval)
	for _, i := range d.instances {
		if i.owes() && d.now-max(i.heard, i.probed) >= silent {
			i.probed = d.now
			if err := d.c.nc.PublishRequest(i.subject, lanes[0].reply, probe); err != nil {
				d.c.log.Debug("probe not sent", "err", err) // NATS is away
				return
			}
		}
	}
}

// deliver hands the outcomes of this pass to their processors, one wake-up each.
func (d *dispatcher) deliver() {
	for _, l := range d.answered {
		d.c.sink.Deliver(l.processor, l.outcomes)
		clear(l.outcomes)
		l.outcomes = l.outcomes[:0]
	}
	clear(d.answered)
	d.answered = d.answered[:0]
}

// resume wakes processors whose calls were refused, once there is room. Who is
// woken first changes, because it finds the most.
func (d *dispatcher) resume() {
	if !d.left {
		return
	}
	d.left = false
	all := d.c.lanes.Load().all
	d.next++
	for n := range all {
		l := all[(d.next+n)%len(all)]
		if l.waiting.Load() {
			l.waiting.Store(false)
			d.c.sink.Resume(l.processor)
		}
	}
}

// leave tells that p has left its queue.
func (d *dispatcher) leave(p *Pending) {
	p.route.waiting.leave(p.client, p.size)
	d.left = true
}

// shutDown gives what is left its outcome: the processors close their
// connections themselves.
func (d *dispatcher) shutDown() {
	d.takeInbox()
	for _, p := range d.in.submitted {
		d.begin(p)
	}
	for _, p := range d.pendings {
		d.cancel(p, false)
		d.finish(p).Done(Shutdown, d.now, 0)
	}
	d.announcer.gone()
}
