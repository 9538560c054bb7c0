package network

import (
	"bytes"
)

// Moving is a channel on its way from one selector to another. It belongs to one goroutine at a time, and its socket is
// open: Attach takes it over, Close ends it.
type Moving struct {
	plain     plaintext
	transport Transport // nil: plaintext
	arrived   []byte    // bytes that have not been served
	readable  bool
	confined  bool
	limit     int
	timing    timing
	traffic   Traffic
}

// Quiet tells that nothing is under way on a channel, so that it may move: nothing to be sent, no request without its
// answer, no throttle, no end of stream on its way. What has arrived of its next requests moves with it.
func (c *Channel) Quiet() bool {
	return !c.closed && c.ready && !c.full && c.state <= Muted && c.Owed == 0 && c.out.head == nil && !c.peerClosed && !c.ended
}

// Detach takes a quiet channel out of the selector without closing it; for this selector it is gone. The receives of
// the last Poll must have been worked through. An error leaves the channel where it is.
func (s *Selector) Detach(c *Channel) (*Moving, error) {
	if err := s.poller.Remove(c.plain.fd); err != nil {
		return nil, err
	}
	m := &Moving{
		plain: c.plain, readable: c.readable, confined: c.confined, limit: c.limit, timing: c.timing, traffic: c.traffic,
		arrived: bytes.Clone(c.in.data[c.in.off:]),
	}
	if c.transport != &c.plain {
		m.transport = c.transport
	}
	c.closed = true
	s.forget(c)
	return m, nil
}

// Attach takes over a channel that another selector has let go. It has a new token, is not muted, and its deadlines run
// on. On an error it remains the caller's.
func (s *Selector) Attach(m *Moving, attachment any) (*Channel, error) {
	c := &Channel{plain: m.plain, Attachment: attachment, readable: m.readable, ready: true, traffic: m.traffic}
	if _, err := s.add(c, s.rebuild(c, m.transport)); err != nil {
		return nil, err
	}
	if m.confined {
		s.Confine(c, m.limit)
	}
	s.carryOn(c, m.timing)
	if n := len(m.arrived); n > 0 {
		c.in = receive{data: append(s.mem.get(n), m.arrived...), owned: true}
		s.noteGrown(c)
	}
	s.resume(c)
	return c, nil
}

// Close ends a channel that no selector has.
func (m *Moving) Close() error {
	if m.transport != nil {
		return m.transport.Close()
	}
	return m.plain.Close()
}
