package requestchannel

import (
	"slices"
	"sync/atomic"
)

// Route is the way to one service: its queues, and the instances that take from
// them. Services are apart, so that bulk produce cannot delay heartbeats.
type Route struct {
	service string
	queued  atomic.Int64 // requests that wait, those not yet with the dispatcher included

	// owned by the dispatcher
	affinity  Affinity
	instances []*instance
	queues    map[queueKey]*fifo
	ready     []*fifo // the non-empty ones, in the order they became so
}

// queueOf finds or makes the queue that p belongs in.
func (r *Route) queueOf(p *Pending) *fifo {
	key := queueKey{instance: p.target}
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
		all = append(all, q.items[q.head:]...)
	}
	slices.SortFunc(all, func(a, b *Pending) int { return int(a.received - b.received) })
	r.ready, r.queues = nil, map[queueKey]*fifo{}
	for _, p := range all {
		r.enqueue(p, false)
	}
}

// leastOutstanding is the ready instance with the fewest requests outstanding
// that has room in its window, nil if none has.
func (r *Route) leastOutstanding() (best *instance) {
	for _, i := range r.instances {
		if i.open() && (best == nil || i.outstanding < best.outstanding) {
			best = i
		}
	}
	return best
}
