package requestchannel

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"kanal/libs/protocol"
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

// queueKey tells queues of a route apart: by broker where the service has
// affinity, by instance for what was redirected to it.
type queueKey struct {
	broker   int32
	instance string
}

// fifo is one queue of a route.
type fifo struct {
	key   queueKey
	items []*Pending
	head  int

	holder *instance // of the broker, as of view
	view   uint64
}

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(p *Pending) { q.items = append(q.items, p) }

// pushFront puts p before the others: it has waited longer.
func (q *fifo) pushFront(p *Pending) {
	if q.head == 0 {
		q.items = slices.Insert(q.items, 0, p)
		return
	}
	q.head--
	q.items[q.head] = p
}

func (q *fifo) peek() *Pending { return q.items[q.head] }

func (q *fifo) pop() *Pending {
	p := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return p
}

func (q *fifo) remove(p *Pending) {
	if i := slices.Index(q.items[q.head:], p); i >= 0 {
		q.items = slices.Delete(q.items, q.head+i, q.head+i+1)
	}
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

// table is what Submit and ApiVersions read: a snapshot, replaced as a whole.
type table struct {
	routes   *routes
	byKey    []*Route
	versions protocol.Ranges
}

// routes are all routes by service; they are made once and stay.
type routes struct {
	mu sync.Mutex
	m  map[string]*Route
}

func (rs *routes) get(service string) *Route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.m[service]
	if r == nil {
		r = &Route{service: service, queues: map[queueKey]*fifo{}}
		rs.m[service] = r
	}
	return r
}

func (rs *routes) all() []*Route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Collect(maps.Values(rs.m))
}

// newTable routes every api that a service is known to answer. Where two
// services answer the same, the first by name has it.
func newTable(rs *routes, known map[string]protocol.Ranges) *table {
	release := protocol.Release()
	t := &table{routes: rs, byKey: make([]*Route, 128), versions: protocol.Ranges{}}
	for _, service := range slices.Sorted(maps.Keys(known)) {
		for key, v := range known[service].Intersect(release) {
			if t.byKey[key] == nil {
				t.byKey[key], t.versions[key] = rs.get(service), v
			}
		}
	}
	return t
}
