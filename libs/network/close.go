package network

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// CloseChannel is the one way out of a selector: it closes the socket and lets go of everything but the sends that are
// lost, which Disconnected tells (J10). The answers that are complete in the queue get one more try, unless the
// connection is gone.
func (s *Selector) CloseChannel(c *Channel, reason CloseReason, cause error) {
	if c.closed {
		return
	}
	c.closed = true
	if !reason.fromPeer() {
		_, _ = s.write(c)
		s.discard(c)
	}
	if reason == ReasonWriteDeadline {
		reset(c)
	}
	if err := c.transport.Close(); err != nil && cause == nil {
		cause = err
	}
	s.forget(c)
	s.disconnected.add(Closed{Channel: c, Reason: reason, Err: cause, Lost: s.lost(c)})
}

// forget lets go of all that the selector has for a channel.
func (s *Selector) forget(c *Channel) {
	slot := uint32(c.token & (maxSlots - 1))
	s.slots[slot] = nil
	s.freed = append(s.freed, slot)
	s.open--
	s.timers.remove(c)
	s.partials.remove(c)
	c.in.release(s.mem)
}

// discard reads once what the peer has sent in vain. The kernel answers a close with unread bytes by a reset, and that
// would throw away the last answers before the peer has read them.
func (s *Selector) discard(c *Channel) {
	if !c.ended {
		_, _, _ = c.plain.Read(s.gathered)
	}
}

// reset makes the close a reset: else the kernel would hold on to megabytes that nobody takes.
func reset(c *Channel) {
	_ = unix.SetsockoptLinger(c.plain.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// lost empties the queue of sends.
func (s *Selector) lost(c *Channel) []Send {
	var lost []Send
	for c.out.head != nil {
		n := c.out.pop()
		lost = append(lost, n.Send)
		s.recycle(n)
	}
	c.out = output{}
	return lost
}

func (s *Selector) recycle(n *node) {
	*n = node{next: s.nodes}
	s.nodes = n
}

// failure tells a peer that went away from our own trouble.
func failure(err error, other CloseReason) CloseReason {
	var layer *LayerError
	if errors.As(err, &layer) {
		return layer.Reason
	}
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
