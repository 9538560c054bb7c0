package requestchannel

import (
	"slices"
	"time"
)

// mustServeAfter is the number of redirects after which a request is served by
// whoever gets it.
const mustServeAfter = 2

// dispatch sends what waits to whoever may take it.
func (d *dispatcher) dispatch() {
	if !d.c.nc.IsConnected() {
		return // requests wait in their queues until NATS is back or their deadlines pass
	}
	d.refreshNumbers()
	for _, r := range d.routes.all() {
		if len(r.ready) > 0 && !d.dispatchRoute(r) {
			return
		}
	}
}

// refreshNumbers follows the announcements that changed nothing but their
// number: a request that names an old one would be refused as stale.
func (d *dispatcher) refreshNumbers() {
	heard := d.c.view.heard.Load()
	if heard == d.heard {
		return
	}
	d.heard = heard
	d.c.view.numbers(func(id string, number uint64) {
		if i := d.instances[id]; i != nil {
			i.number = number
		}
	})
}

// dispatchRoute empties a route's queues as far as windows allow; false when
// NATS took no more.
func (d *dispatcher) dispatchRoute(r *Route) bool {
	kept := r.ready[:0]
	for n, q := range r.ready {
		if !d.dispatchQueue(r, q) {
			r.ready = append(kept, r.ready[n:]...)
			return false
		}
		if q.len() > 0 {
			kept = append(kept, q)
		} else {
			r.forget(q)
		}
	}
	r.ready = kept
	return true
}

func (d *dispatcher) dispatchQueue(r *Route, q *fifo) bool {
	for q.len() > 0 {
		i := d.takerOf(r, q)
		if i == nil {
			return true
		}
		if !d.send(q.peek(), i) {
			return false
		}
		q.pop().queue = nil
		r.queued.Add(-1)
	}
	return true
}

// takerOf is the instance that the next request of q goes to, nil if it has to
// wait for a window.
func (d *dispatcher) takerOf(r *Route, q *fifo) *instance {
	var i *instance
	switch {
	case q.key.instance != "" && d.takesRedirects(q.key.instance):
		i = d.instances[q.key.instance]
	case r.affinity == AffinityByBroker:
		i = d.holder(r, q)
	default:
		return r.leastOutstanding()
	}
	if i == nil || !i.open() {
		return nil
	}
	return i
}

// holder is the live holder of the broker that the next request of q is for. It
// is looked up once per queue and view.
func (d *dispatcher) holder(r *Route, q *fifo) *instance {
	if q.holder == nil || q.view != d.views || q.key.instance != "" {
		id, _ := d.c.view.Holder(r.service, q.peek().Broker)
		q.holder, q.view = d.instances[id], d.views
	}
	return q.holder
}

// takesRedirects tells whether an instance that was named as holder still is to
// be had.
func (d *dispatcher) takesRedirects(id string) bool {
	i := d.instances[id]
	return i != nil && i.state == StateReady
}

// send publishes p to i; false when NATS did not take it.
func (d *dispatcher) send(p *Pending, i *instance) bool {
	p.Announcement, p.Age = i.number, time.Duration(d.now-p.received)
	p.Deadline = time.Duration(p.deadline - d.now)
	p.Granted = d.grant()
	p.Attempt++
	putDispatch(p.message, &p.Request)
	if p.size <= LargeFrame {
		if err := d.c.nc.PublishRequest(i.subject, d.reply[p.Processor], p.message); err != nil {
			d.c.log.Warn("request waits: NATS did not take it", "err", err)
			return false
		}
	} else {
		d.sender.send(i.subject, p.message, p.header)
	}
	p.instance, p.state, p.dispatched = i, outstanding, d.now
	i.outstanding++
	if i.outstanding == 1 {
		i.heard = d.now // silence begins to count now
	}
	return true
}

// Bounds of what one answer may be granted, in bytes.
const (
	leastGrant = 1 << 20
	mostGrant  = 64 << 20
)

// grant divides the response budget among the requests under way.
func (d *dispatcher) grant() uint32 {
	share := d.c.cfg.ResponseMaxBytes / int64(max(1, len(d.pendings)))
	return uint32(min(max(share, leastGrant), mostGrant))
}

// processArrived takes in what handlers answered. The first answer wins.
func (d *dispatcher) processArrived() {
	for n := range d.in.arrived {
		a := &d.in.arrived[n]
		p := d.pendings[a.ID]
		if p == nil || p.Token != a.Token || p.state == queued && a.Kind > CloseConnection {
			d.c.cfg.Metrics.late.Inc()
			continue
		}
		if p.instance != nil && a.Attempt == p.Attempt {
			p.instance.heard = d.now
		} else if a.Kind > CloseConnection || a.Parts > 1 {
			d.c.cfg.Metrics.late.Inc() // concerns an earlier dispatch only
			continue
		}
		p.arrived = a.at
		d.take(p, &a.Response)
	}
}

func (d *dispatcher) take(p *Pending, r *Response) {
	switch r.Kind {
	case Send:
		d.takeFrame(p, r)
	case NoOp, CloseConnection:
		p.metrics.handled(p, r)
		d.outcome(p, Outcome{Kind: r.Kind, Throttle: r.Throttle})
	case Redirect:
		d.takeRedirect(p, r.Target)
	case Parked:
		d.park(p, r.Deadline)
	case NotTaken:
		d.c.cfg.Metrics.notTaken.Inc()
		d.ban(p.instance, p.Announcement)
		d.again(p)
	}
}

// ban sends i nothing more until it announces itself with a number above
// number; the view tells when.
func (d *dispatcher) ban(i *instance, number uint64) {
	d.refreshNumbers()
	if i.number > number {
		return
	}
	i.state = StateDraining
	d.views++
	d.c.view.Ban(i.id, number)
	d.c.inbox.put(func(in *inbox) { in.viewChanged = true })
}

// takeFrame delivers an answer, or adds a part of one.
func (d *dispatcher) takeFrame(p *Pending, r *Response) {
	if r.Parts > 1 {
		if p.assembly == nil || r.Part == 0 {
			p.assembly = new(assembly)
		}
		done, err := p.assembly.add(r.Part, r.Parts, r.Total, r.Frame)
		if err != nil {
			// Parts were lost on the way: the whole answer is asked for again.
			d.c.log.Warn("lost a part of a large answer; dispatching again", "api", p.APIKey, "err", err)
			p.assembly, p.Redelivered = nil, true
			d.again(p)
			return
		}
		if !done {
			return
		}
		r.Frame, p.assembly = p.assembly.frame, nil
	}
	p.metrics.handled(p, r)
	d.outcome(p, Outcome{Kind: Send, Throttle: r.Throttle, Frame: r.Frame})
}

// takeRedirect sends p, and this connection's later requests of the route, to
// the instance that holds what they are about.
func (d *dispatcher) takeRedirect(p *Pending, target string) {
	d.c.cfg.Metrics.redirected.Inc()
	p.Redirects++
	p.MustServe = p.Redirects >= mustServeAfter
	p.target = ""
	if d.instances[target] != nil {
		p.target = target
		if d.redirects[p.conn()] == nil {
			d.redirects[p.conn()] = map[*Route]string{}
		}
		d.redirects[p.conn()][p.route] = target
	}
	d.again(p)
}

// park moves a long poll out of its instance's window.
func (d *dispatcher) park(p *Pending, deadline time.Duration) {
	if p.state != outstanding {
		return
	}
	p.state = parked
	p.instance.outstanding--
	p.instance.parked++
	p.deadline = d.now + int64(deadline)
	d.wheel.remove(p)
	d.wheel.add(p)
	d.c.held.Add(-int64(p.size))
	d.parked += int64(p.size)
	d.c.cfg.Metrics.parked.Inc()
	if d.parked > d.c.cfg.ParkedMaxBytes {
		p.message = nil
	}
	if p.half {
		d.cancel(p, true)
	}
}

// release takes p away from the instance that has it.
func (d *dispatcher) release(p *Pending) {
	switch p.state {
	case outstanding:
		p.instance.outstanding--
	case parked:
		p.instance.parked--
		d.parked -= int64(p.size)
		d.c.held.Add(int64(p.size))
		d.c.cfg.Metrics.parked.Dec()
	}
	p.instance = nil
}

// again queues p before the others. Where its frame was let go its connection
// closes.
func (d *dispatcher) again(p *Pending) {
	if p.state == queued {
		return
	}
	if p.state == parked {
		p.deadline = d.now + int64(d.c.cfg.RequestTimeout)
		d.wheel.remove(p)
		d.wheel.add(p)
	}
	if p.message == nil {
		d.outcome(p, Outcome{Kind: CloseConnection, Reason: ClosedFrameLetGo})
		return
	}
	d.release(p)
	if p.target != "" && !d.takesRedirects(p.target) {
		p.target = ""
	}
	p.route.queued.Add(1)
	p.route.enqueue(p, true)
}

// redispatch queues again what an instance had, marked as redelivered: it may
// have been executed.
func (d *dispatcher) redispatch(which func(*Pending) bool, why string) {
	var some []*Pending
	for _, p := range d.pendings {
		if (p.state == outstanding || p.state == parked) && which(p) {
			some = append(some, p)
		}
	}
	// Newest first, because each goes before the others.
	slices.SortFunc(some, func(a, b *Pending) int { return int(b.received - a.received) })
	for _, p := range some {
		p.Redelivered, p.assembly = true, nil
		d.c.cfg.Metrics.redispatched.WithLabelValues(why).Inc()
		d.again(p)
	}
}

// outcome ends p and keeps what its processor has to do for deliver.
func (d *dispatcher) outcome(p *Pending, o Outcome) {
	processor := int(p.Processor)
	o.Token, o.Pending = p.Token, d.finish(p)
	d.out[processor] = append(d.out[processor], o)
}

// finish takes p out of everything: it has its outcome.
func (d *dispatcher) finish(p *Pending) *Pending {
	if p.state == queued && p.queue != nil {
		p.route.leave(p)
		p.route.queued.Add(-1)
	}
	d.release(p)
	d.c.held.Add(-int64(p.size))
	d.c.inside.Add(-1)
	d.wheel.remove(p)
	delete(d.pendings, p.ID)
	if d.byConn[p.conn()] == p {
		delete(d.byConn, p.conn())
	}
	p.state = answered
	return p
}
