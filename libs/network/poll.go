package network

import (
	"time"

	"kanal/libs/epoll"
)

// Poll writes what was sent, waits for events, at most for the timeout (negative: no limit), and reads (F2). It does
// not wait while there is something to do: channels to serve, results not taken.
func (s *Selector) Poll(timeout time.Duration) error {
	s.retire()
	s.flushDirty()
	s.takePosted()
	if s.busy() {
		timeout = 0
	}
	events, err := s.await(s.wait(timeout))
	for i := range events {
		s.note(&events[i])
	}
	s.serveShort()
	s.serveReady()
	s.expire()
	return err
}

// await waits and notes for how long; a look without waiting is work like the rest.
func (s *Selector) await(timeout time.Duration) ([]epoll.Event, error) {
	s.stats.Polls++
	if s.clock == nil {
		return s.poller.Wait(timeout)
	}
	if timeout != 0 {
		s.waited.begin(s.clock())
	}
	events, err := s.poller.Wait(timeout)
	s.now = s.clock()
	if timeout != 0 {
		s.waited.end(s.now)
	}
	return events, err
}

// busy tells that the owner has results to work through, or Poll channels to serve.
func (s *Selector) busy() bool {
	return len(s.ready)-s.blocked+len(s.dirty)+len(s.completed.filling)+len(s.disconnected.filling)+
		len(s.halfClosed.filling)+len(s.prepared.filling)+len(s.connected.filling) > 0
}

// retire ends the last pass: the scratch is free again.
func (s *Selector) retire() {
	clear(s.receives)
	s.receives = s.receives[:0]
	for i, c := range s.retiring {
		s.retiring[i] = nil
		c.retiring = false
		if !c.closed {
			c.in.retire(s.mem)
			s.partials.note(c, false)
			s.resume(c)
		}
	}
	s.retiring = s.retiring[:0]
	s.mem.used = 0
	s.settle()
}

// note takes down one event (F3, without the reading).
func (s *Selector) note(e *epoll.Event) {
	c := s.Channel(e.Token())
	if c == nil {
		return // closed since Wait found it
	}
	s.touch(c)
	if c.connecting && !s.finishConnect(c) {
		return
	}
	if !c.ready {
		s.noteUnready(c, e)
		return
	}
	if e.Is(epoll.Broken) {
		err := socketError(c.plain.fd)
		s.CloseChannel(c, ReasonPeerReset, err)
		return
	}
	if e.Is(epoll.Readable | epoll.PeerClosed) {
		c.readable = true
	}
	if e.Is(epoll.PeerClosed) {
		s.noteHalfClose(c)
	}
	if e.Is(epoll.Writable) && (c.full || c.out.head != nil) {
		s.flush(c)
	}
	s.resume(c)
}

func (s *Selector) noteHalfClose(c *Channel) {
	if !c.peerClosed {
		c.peerClosed = true
		s.halfClosed.add(c)
	}
}
