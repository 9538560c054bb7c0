package network

import "kanal/libs/epoll"

// flushDirty writes what was sent since the last Poll. A channel whose next request is served in this very pass keeps
// its answers for one write with the next one's.
func (s *Selector) flushDirty() {
	kept := s.dirty[:0]
	for _, c := range s.dirty {
		if c.queued && !c.closed && s.Pipelined(c, 0) {
			kept = append(kept, c)
			continue
		}
		c.dirty = false
		s.flush(c)
	}
	clear(s.dirty[len(kept):])
	s.dirty = kept
}

// flush writes until the queue is empty or the socket full.
func (s *Selector) flush(c *Channel) {
	if c.closed {
		return
	}
	full, err := s.write(c)
	if err == nil && full && !c.armed {
		err = s.arm(c)
	}
	if err != nil {
		s.CloseChannel(c, failure(err, ReasonWriteFailed), err)
		return
	}
	if c.full = false; full {
		s.becomeFull(c)
		return
	}
	s.resume(c) // an ended channel closes after its last answer
}

func (s *Selector) becomeFull(c *Channel) {
	c.full = true
	s.stall(c)
}

func (s *Selector) write(c *Channel) (full bool, err error) {
	for c.out.head != nil {
		chunk := c.out.chunk(s.gathered)
		n, err := c.transport.Write(chunk)
		s.stats.Writes++
		s.stats.SentBytes += uint64(n)
		c.traffic.SentBytes += uint64(n)
		s.advance(c, n)
		if err != nil {
			return false, err
		}
		if n < len(chunk) {
			return true, nil
		}
	}
	if c.transport.HasPendingWrites() {
		_, err = c.transport.Write(nil)
		return c.transport.HasPendingWrites(), err
	}
	return false, nil
}

func (s *Selector) advance(c *Channel, n int) {
	o := &c.out
	o.bytes -= n
	o.written += n
	for o.head != nil && o.written >= o.head.length() {
		o.written -= o.head.length()
		n := o.pop()
		s.stats.Sends++
		s.completed.add(CompletedSend{c, n.Send})
		s.recycle(n)
	}
}

// arm asks for Writable, which only a full socket needs, and keeps it: as an edge it costs nothing (I15).
func (s *Selector) arm(c *Channel) error {
	c.armed = true
	return s.poller.Modify(c.plain.fd, epoll.Readable|epoll.Writable|epoll.PeerClosed|epoll.Edge, c.token)
}
