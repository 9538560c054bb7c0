package network

import "kanal/libs/memory"

// uncounted is how many bytes of buffers the budget may not know of within a pass, so that small ones cost no look at
// it.
const uncounted = 64 << 10

// tell brings the budget up to date.
func (s *Selector) tell() {
	stalest := memory.Never
	if c := s.partials.first; c != nil {
		stalest = c.partial.grew
	}
	s.share.Tell(s.mem.held, s.partials.bytes, stalest)
}

// settle ends a pass for the budget. What many small partial frames have come to is noticed here.
func (s *Selector) settle() {
	if s.share == nil {
		return
	}
	s.tell()
	if s.share.Asked() || s.share.Exceeds(0) {
		s.relieve(nil, 0)
	}
}

// relieve closes the stalest partial frames while they have more than their half of the budget, with n bytes for
// growing. That one is the freshest of all: it stays.
func (s *Selector) relieve(growing *Channel, n int) {
	if !s.share.Exceeds(n) {
		return
	}
	if growing != nil {
		s.partials.remove(growing)
		s.tell()
		defer s.noteGrown(growing)
	}
	for s.share.Exceeds(n) && s.closesOwn(growing, n) {
		s.CloseChannel(s.partials.first, ReasonMemoryPressure, nil)
		s.tell()
	}
}

// closesOwn tells whether the selector's own stalest frame is to be closed: because it is the stalest of all, or because
// the selector that has that one does not come to it as fast as frames grow here.
func (s *Selector) closesOwn(growing *Channel, n int) bool {
	if s.share.Relieve(growing == nil && s.partials.first == s.partials.last) {
		return true
	}
	return growing != nil && s.partials.first != nil && s.share.FarExceeds(n)
}

func (s *Selector) noteGrown(c *Channel) {
	c.partial.grew = s.now
	s.partials.note(c, true)
}

// mayGrow tells whether there is memory for the next read of c's unfinished frame. Large buffers have it in the order in
// which they were refused: see serveShort.
func (s *Selector) mayGrow(c *Channel) bool {
	n := c.in.needs()
	if n == 0 || s.share == nil {
		return true
	}
	if s.mem.held+n-s.share.Held() <= uncounted {
		return true
	}
	if len(s.short) > 0 && s.short[0] != c {
		return false
	}
	s.tell() // of what has grown in this pass
	s.relieve(c, n)
	return s.share.Take(s.mem.held+n-s.share.Held(), cap(c.in.data))
}

// holdBack leaves a channel's bytes in its socket until there is memory for them: the peer is held up by TCP, other
// channels are not (G6, I6).
func (s *Selector) holdBack(c *Channel) {
	c.queued = true
	s.short = append(s.short, c)
}

// serveShort goes on with the channels that waited for memory, in their order.
func (s *Selector) serveShort() {
	for len(s.short) > 0 && !s.mem.full() {
		c := s.short[0]
		if !c.closed && !s.mayGrow(c) {
			return
		}
		s.share.Cancel() // of a channel that is gone
		s.short = append(s.short[:0], s.short[1:]...)
		c.queued = false
		s.serve(c)
	}
}

// Done tells that the owner has no more need of the channel's receive: a large frame's memory is given back now and not
// at the next Poll, so that of all that come in one pass only one is here twice while it is copied.
func (s *Selector) Done(c *Channel) {
	if c.in.owned && cap(c.in.data) > largestSmall && !c.closed {
		c.in.retire(s.mem)
		s.partials.note(c, false)
	}
}
