package requestchannel

import "slices"

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
