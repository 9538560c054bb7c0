package requestchannel

// queueKey tells queues of a route apart: by broker where the service has
// affinity, by instance for what was redirected to it; and fetches apart, since
// they may have to wait for a grant, which slow consumers have.
type queueKey struct {
	bulk     bool
	broker   int32
	instance string
}

// flows is how many clients a queue tells apart; those beyond share a flow.
const flows = 64

// fifo is one queue of a route. Its clients have their turns one after the
// other, and each has its requests in order: many of one client do not stand
// before the few of another.
type fifo struct {
	key   queueKey
	count int
	turn  *flow // whose request is next, in the ring of those that have some
	flows [flows]flow

	holder *instance // of the broker, as of view
	view   uint64
}

// flow is what waits of one client.
type flow struct {
	first, last *Pending
	next, prev  *flow // in the ring
}

func (q *fifo) len() int { return q.count }

func (q *fifo) flowOf(p *Pending) *flow { return &q.flows[p.client%flows] }

// peek is the request that is next.
func (q *fifo) peek() *Pending { return q.turn.first }

// push adds p behind those of its client.
func (q *fifo) push(p *Pending) {
	f := q.flowOf(p)
	if f.first == nil {
		q.join(f)
		f.first = p
	} else {
		p.before = f.last
		f.last.behind = p
	}
	f.last = p
	q.count++
}

// pushFront makes p the next: it has waited longer than the others.
func (q *fifo) pushFront(p *Pending) {
	f := q.flowOf(p)
	if f.first == nil {
		q.join(f)
		f.last = p
	} else {
		p.behind = f.first
		f.first.before = p
	}
	f.first = p
	q.turn = f
	q.count++
}

// pop takes the next one out; then another client has its turn.
func (q *fifo) pop() *Pending {
	p, f := q.turn.first, q.turn
	q.remove(p)
	if q.turn == f {
		q.turn = f.next
	}
	return p
}

func (q *fifo) remove(p *Pending) {
	f := q.flowOf(p)
	if p.before == nil {
		f.first = p.behind
	} else {
		p.before.behind = p.behind
	}
	if p.behind == nil {
		f.last = p.before
	} else {
		p.behind.before = p.before
	}
	p.before, p.behind = nil, nil
	q.count--
	if f.first == nil {
		q.part(f)
	}
}

// join puts a flow into the ring, as the last to have its turn.
func (q *fifo) join(f *flow) {
	if q.turn == nil {
		f.next, f.prev, q.turn = f, f, f
		return
	}
	f.next, f.prev = q.turn, q.turn.prev
	f.prev.next, f.next.prev = f, f
}

func (q *fifo) part(f *flow) {
	f.prev.next, f.next.prev = f.next, f.prev
	if q.turn == f {
		q.turn = f.next
	}
	if q.turn == f {
		q.turn = nil
	}
	f.next, f.prev = nil, nil
}

// each calls f for every request that waits.
func (q *fifo) each(f func(*Pending)) {
	for n, at := q.count, q.turn; n > 0; at = at.next {
		for p := at.first; p != nil; p = p.behind {
			n--
			f(p)
		}
	}
}
