package requestchannel

import (
	"slices"

	"kanal/libs/protocol"
)

// Route is the way to one service: its queues, and the instances that take from
// them. Services are apart, so that bulk produce cannot delay heartbeats; and
// each has a route of its own for the privileged listeners, the control plane,
// which no crowd of clients can fill.
type Route struct {
	*service
	privileged bool
	twin       *Route // of the same service, for the other listeners
	budget     Budget // that counts its frames
	waiting    waiting

	// owned by the dispatcher
	queues map[queueKey]*fifo
	ready  []*fifo // the non-empty ones, in the order of their turns
	spare  []*fifo // memory of ready
}

// service is what the routes to it have in common.
type service struct {
	name string

	// owned by the dispatcher
	affinity  Affinity
	instances []*instance
	met       bool              // an instance
	ordered   []protocol.APIKey // as instances have announced
}

// of is the route for requests of privileged listeners, or of the others.
func (r *Route) of(privileged bool) *Route {
	if r.privileged == privileged {
		return r
	}
	return r.twin
}

// queueOf finds or makes the queue that p belongs in.
func (r *Route) queueOf(p *Pending) *fifo {
	key := queueKey{instance: p.target, bulk: p.APIKey == protocol.Fetch}
	if r.affinity == AffinityByBroker && p.target == "" {
		key.broker = p.Broker
	}
	q := r.queues[key]
	if q == nil {
		q = &fifo{key: key}
		r.queues[key] = q
	}
	return q
}

// enqueue adds p, at the front when it was dispatched before.
func (r *Route) enqueue(p *Pending, front bool) {
	q := r.queueOf(p)
	if q.len() == 0 {
		r.ready = append(r.ready, q)
	}
	if front {
		q.pushFront(p)
	} else {
		q.push(p)
	}
	p.state, p.queue = queued, q
}

// leave takes p out of its queue.
func (r *Route) leave(p *Pending) {
	p.queue.remove(p)
	if p.queue.len() == 0 {
		r.drop(p.queue)
	}
	p.queue = nil
}

func (r *Route) drop(q *fifo) {
	if i := slices.Index(r.ready, q); i >= 0 {
		r.ready = slices.Delete(r.ready, i, i+1)
	}
	r.forget(q)
}

// forget lets go of an empty queue where there are many.
func (r *Route) forget(q *fifo) {
	if len(r.queues) > 1024 { // brokers are few; instances of redirects come and go
		delete(r.queues, q.key)
	}
}

// requeueAll sorts the waiting requests anew: what decides their queue changed.
func (r *Route) requeueAll() {
	var all []*Pending
	for _, q := range r.ready {
		q.each(func(p *Pending) { all = append(all, p) })
	}
	slices.SortFunc(all, func(a, b *Pending) int { return int(a.received - b.received) })
	r.ready, r.queues = nil, map[queueKey]*fifo{}
	for _, p := range all {
		p.before, p.behind = nil, nil
		r.enqueue(p, false)
	}
}

// leastOutstanding is the ready instance with the fewest requests outstanding
// that has room in its window, nil if none has.
func (r *Route) leastOutstanding() (best *instance) {
	for _, i := range r.instances {
		if i.open(r.privileged) && (best == nil || i.outstanding < best.outstanding) {
			best = i
		}
	}
	return best
}
