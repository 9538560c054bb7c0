package network

import "iter"

// Traffic counts what a connection has brought and taken since it was opened, on all its selectors.
type Traffic struct {
	Receives      uint64
	ReceivedBytes uint64 // of plaintext, size bytes included
	SentBytes     uint64
}

// Traffic is the channel's.
func (c *Channel) Traffic() Traffic { return c.traffic }

// Confined tells whether the channel's receives are bounded by Confine.
func (c *Channel) Confined() bool { return c.confined }

// Sends goes over what has not reached the socket whole, the oldest first.
func (c *Channel) Sends() iter.Seq[*Send] {
	return func(yield func(*Send) bool) {
		for n := c.out.head; n != nil; n = n.next {
			if !yield(&n.Send) {
				return
			}
		}
	}
}

// Scan goes over the open channels from a slot on, most slots at most, until visit says false. It gives the slot to go
// on with, 0 after the last: a look at a million channels need not stop the traffic.
func (s *Selector) Scan(from, most int, visit func(*Channel) bool) (next int) {
	end := min(from+most, len(s.slots))
	for slot := from; slot < end; slot++ {
		if c := s.slots[slot]; c != nil && !visit(c) {
			end = slot + 1
		}
	}
	if end >= len(s.slots) {
		return 0
	}
	return end
}
