package requestchannel

import "slices"

// link puts p behind its connection's other requests. True: it is ordered, and
// waits until those before it that are ordered too have their outcomes.
func (d *dispatcher) link(p *Pending) (waits bool) {
	p.ordered = p.route.orders(p)
	first := d.byConn[p.conn()]
	if first == nil {
		d.byConn[p.conn()] = p
		return false
	}
	last := first
	for waits = first.ordered; last.later != nil; waits = waits || last.ordered {
		last = last.later
	}
	last.later = p
	return waits && p.ordered
}

// unlink takes p out, and lets the next go that waited for it.
func (d *dispatcher) unlink(p *Pending) {
	first := d.byConn[p.conn()]
	switch {
	case first != p:
		for first != nil && first.later != p {
			first = first.later
		}
		if first == nil {
			return // it was never linked: the channel shuts down
		}
		first.later = p.later
	case p.later == nil:
		delete(d.byConn, p.conn())
	default:
		d.byConn[p.conn()] = p.later
	}
	next := p.later
	p.later = nil
	for ; next != nil && p.ordered; next = next.later {
		if next.ordered {
			if next.state == held {
				next.route.enqueue(next, false)
			}
			return
		}
	}
}

// orders tells whether requests like p of one connection go one after the other:
// if an instance has announced so, or none has said anything yet.
func (s *service) orders(p *Pending) bool { return !s.met || slices.Contains(s.ordered, p.APIKey) }

// meet notes what an instance announced.
func (s *service) meet(h *Handler) {
	s.met = true
	for _, key := range h.Ordered {
		if !slices.Contains(s.ordered, key) {
			s.ordered = append(s.ordered, key)
		}
	}
}
