package network

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/epoll"
)

// Poll writes what was sent, waits for events, at most for the timeout (negative: no limit), and reads (F2). It does
// not wait while there is something to do: channels to serve, results not taken.
func (s *Selector) Poll(timeout time.Duration) error {
	s.retire()
	s.flushDirty()
	if s.busy() {
		timeout = 0
	}
	events, err := s.poller.Wait(timeout)
	for i := range events {
		s.note(&events[i])
	}
	s.serveReady()
	return err
}

// busy tells that the owner has results to work through, or Poll channels to serve.
func (s *Selector) busy() bool {
	return len(s.ready)+len(s.dirty)+len(s.completed.filling)+len(s.disconnected.filling)+
		len(s.halfClosed.filling)+len(s.connected.filling) > 0
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
			s.resume(c)
		}
	}
	s.retiring = s.retiring[:0]
	s.mem.used = 0
}

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
	if c.full = full; !full {
		s.resume(c) // an ended channel closes after its last answer
	}
}

func (s *Selector) write(c *Channel) (full bool, err error) {
	for c.out.head != nil {
		chunk := c.out.chunk(s.gathered)
		n, err := c.transport.Write(chunk)
		s.stats.SentBytes += uint64(n)
		s.advance(c, n)
		if err != nil {
			return false, err
		}
		if n < len(chunk) {
			return true, nil
		}
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

// note takes down one event (F3, without the reading).
func (s *Selector) note(e *epoll.Event) {
	c := s.Channel(e.Token())
	if c == nil {
		return // closed since Wait found it
	}
	if c.connecting && !s.finishConnect(c) {
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
	if e.Is(epoll.PeerClosed) && !c.peerClosed {
		c.peerClosed = true
		s.halfClosed.add(c)
	}
	if e.Is(epoll.Writable) && c.out.head != nil {
		s.flush(c)
	}
	s.resume(c)
}

// serveReady gives each waiting channel its turn, in the order in which they came. When the scratch is full the rest
// waits for the next pass, before those that need another turn after this one.
func (s *Selector) serveReady() {
	s.ready, s.turn = s.turn[:0], s.ready
	for i, c := range s.turn {
		if s.mem.full() {
			s.ready = append(s.ready, s.turn[i:]...)
			break
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
	for budget := turnBytes; !c.closed && c.state == NotMuted; {
		if served, err := s.cut(c); served {
			return
		} else if err != nil {
			s.CloseChannel(c, s.violation(c), err)
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
		budget -= s.read(c)
	}
	s.leave(c)
}

// leave ends the turn of a channel without a complete frame.
func (s *Selector) leave(c *Channel) {
	if c.closed {
		return
	}
	if c.ended && c.out.head == nil && c.state == NotMuted {
		s.CloseChannel(c, ReasonPeerClosed, nil) // half a frame is dropped (J5)
		return
	}
	c.in.retire(s.mem)
}

// cut makes receives of the complete frames, as many as one Poll may give of a channel.
func (s *Selector) cut(c *Channel) (served bool, err error) {
	for range s.perPoll {
		frame, err := c.in.next(s.limit)
		if served && err != nil {
			return true, nil // after those before it
		}
		if frame == nil {
			return served, err
		}
		served = true
		s.stats.Receives++
		s.receives = append(s.receives, Receive{c, frame})
		s.retireLater(c)
	}
	return served, nil
}

// read makes one read and gives the number of bytes; it closes the channel when that fails.
func (s *Selector) read(c *Channel) int {
	n, more, err := c.in.fill(c.transport, s.mem)
	s.stats.ReceivedBytes += uint64(n)
	c.readable = more || c.peerClosed && n > 0 // the end of stream is no edge of its own
	if errors.Is(err, io.EOF) {
		c.ended, c.readable = true, false
	} else if err != nil {
		s.CloseChannel(c, failure(err, ReasonReadFailed), err)
	}
	return n
}

// violation names what is wrong with the size at the front. TLS begins with a record of type 22 and version 3.
func (s *Selector) violation(c *Channel) CloseReason {
	if rest := c.in.data[c.in.off:]; c.transport == &c.plain && rest[0] == 0x16 && rest[1] == 0x03 {
		return ReasonTLSOnPlaintext
	}
	return ReasonInvalidSize
}

// failure tells a peer that went away from our own trouble.
func failure(err error, other CloseReason) CloseReason {
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ETIMEDOUT) {
		return ReasonPeerReset
	}
	return other
}

func socketError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if code == 0 {
		return nil
	}
	return unix.Errno(code)
}
