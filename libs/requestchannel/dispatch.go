package requestchannel

import (
	"time"
)

// MustServeAfter is the number of redirects after which a request is served by
// whoever gets it.
const MustServeAfter = 2

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

// dispatchRoute empties a route's queues as far as windows and grants
// allow, one request of each in turn; false when NATS took no more.
func (d *dispatcher) dispatchRoute(r *Route) bool {
	turns, wait := r.ready, r.spare[:0]
	taken := true
	for n := 0; n < len(turns); n++ {
		q := turns[n]
		i, granted := d.takerOf(r, q), int64(0)
		if i != nil {
			granted = d.grants.of(q.peek())
		}
		if granted == 0 || !d.sender.takes(q.peek()) {
			wait = append(wait, q)
			continue
		}
		if taken = d.send(q.peek(), i, granted); !taken {
			wait = append(wait, turns[n:]...)
			break
		}
		p := q.pop()
		p.queue = nil
		d.leave(p)
		if q.len() > 0 {
			turns = append(turns, q)
		} else {
			r.forget(q)
		}
	}
	clear(turns)
	r.ready, r.spare = wait, turns[:0]
	return taken
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
	if i == nil || !i.open(r.privileged) {
		return nil
	}
	return i
}

// holder is the live holder of the broker that the next request of q is for. It
// is looked up once per queue and view.
func (d *dispatcher) holder(r *Route, q *fifo) *instance {
	if q.holder == nil || q.view != d.views || q.key.instance != "" {
		id, _ := d.c.view.Holder(r.name, q.peek().Broker)
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
func (d *dispatcher) send(p *Pending, i *instance, granted int64) bool {
	p.Announcement, p.Age = i.number, time.Duration(d.now-p.received)
	p.Deadline = time.Duration(p.deadline - d.now)
	d.grants.take(p, granted)
	p.Attempt++
	putDispatch(p.message, &p.Request)
	if p.size <= LargeFrame {
		if err := d.c.nc.PublishRequest(i.subject, p.lane.reply, p.message); err != nil {
			d.grants.settle(p, 0)
			d.c.log.Warn("request waits: NATS did not take it", "err", err)
			return false
		}
	} else {
		p.sending = d.sender.send(i.subject, p.message, p.header)
	}
	p.instance, p.state, p.dispatched = i, outstanding, d.now
	i.took(p)
	if i.outstanding == 1 {
		i.heard = d.now // silence begins to count now
	}
	return true
}
