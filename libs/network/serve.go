package network

import (
	"errors"
	"io"
)

// serveReady gives each waiting channel its turn, in the order in which they came. When the scratch is full the rest
// waits for the next pass, before those that need another turn after this one. When the memory budget is used up only
// those go on that have all the memory they need.
func (s *Selector) serveReady() {
	s.blocked = 0
	if len(s.ready) == 0 {
		return
	}
	pass := s.share.Pass()
	s.ready, s.turn = s.turn[:0], s.ready
	for i, c := range s.turn {
		if s.mem.full() {
			s.ready = append(s.ready, s.turn[i:]...)
			break
		}
		if !pass && !c.in.readsOwn() && !c.closed {
			s.ready = append(s.ready, c)
			s.blocked++
			continue
		}
		c.queued = false
		s.serve(c)
	}
	clear(s.turn)
	s.ready = append(s.ready, s.again...)
	s.again = s.again[:0]
}

// turnBytes keeps a fast sender of a large frame from keeping the others waiting.
const turnBytes = 256 << 10

// serve cuts the channel's next frame out of what is here, reading as long as that needs (F4, F5).
func (s *Selector) serve(c *Channel) {
	if !c.ready && !s.prepare(c) {
		return
	}
	for budget := turnBytes; !c.closed && c.state == NotMuted; {
		if served, err := s.cut(c); served {
			return
		} else if err != nil {
			s.violated(c, err)
			return
		}
		if !c.readable {
			break
		}
		if budget <= 0 || s.mem.full() {
			c.queued = true
			s.again = append(s.again, c)
			break
		}
		if !s.mayGrow(c) {
			s.holdBack(c)
			break
		}
		budget -= s.read(c)
	}
	s.leave(c)
}

// leave ends the turn of a channel without a complete frame.
func (s *Selector) leave(c *Channel) {
	if c.closed {
		return
	}
	if c.ended && c.out.head == nil && c.state == NotMuted && c.Owed == 0 {
		s.CloseChannel(c, ReasonPeerClosed, nil) // half a frame is dropped (J5)
		return
	}
	c.in.retire(s.mem)
	if s.share != nil {
		s.partials.note(c, c.partial.grew == s.now)
	}
}

// cut makes receives of the complete frames, as many as one Poll may give of a channel.
func (s *Selector) cut(c *Channel) (served bool, err error) {
	for range s.perPoll {
		frame, err := c.in.next(c.limit)
		if served && err != nil {
			return true, nil // after those before it
		}
		if frame == nil {
			return served, err
		}
		served, c.served = true, c.served || !c.confined
		c.partial.grew = s.now
		s.partials.remove(c)
		s.stats.Receives++
		c.traffic.Receives++
		s.receives = append(s.receives, Receive{Channel: c, Frame: frame})
		s.retireLater(c)
	}
	return served, nil
}

// read makes one read and gives the number of bytes; it closes the channel when that fails.
func (s *Selector) read(c *Channel) int {
	n, more, err := c.in.fill(c.transport, s.mem)
	s.stats.Reads++
	s.stats.ReceivedBytes += uint64(n)
	c.traffic.ReceivedBytes += uint64(n)
	if n > 0 {
		c.partial.grew = s.now
	}
	c.readable = more || c.peerClosed && n > 0 // the end of stream is no edge of its own
	switch {
	case errors.Is(err, io.EOF):
		c.ended, c.readable = true, false
		s.noteHalfClose(c) // a close_notify has no event of its own
	case err != nil:
		s.CloseChannel(c, failure(err, ReasonReadFailed), err)
	case c.transport.HasPendingWrites(): // of its own making
		s.becomeFull(c)
	}
	return n
}

// violated ends a channel with an invalid size at the front, or leaves that to the owner.
func (s *Selector) violated(c *Channel, err error) {
	if !c.confined {
		s.CloseChannel(c, s.violation(c), err)
		return
	}
	s.receives = append(s.receives, Receive{Channel: c, Err: err, Reason: s.violation(c)})
	s.retireLater(c)
}

// violation names what is wrong with the size at the front. TLS begins with a record of type 22 and version 3.
func (s *Selector) violation(c *Channel) CloseReason {
	if rest := c.in.data[c.in.off:]; c.transport == &c.plain && rest[0] == 0x16 && rest[1] == 0x03 {
		return ReasonTLSOnPlaintext
	}
	return ReasonInvalidSize
}
