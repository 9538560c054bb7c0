package network

import (
	"crypto/tls"

	"golang.org/x/sys/unix"
)

// Channel is one connection of a Selector (KafkaChannel). It belongs to the selector's goroutine.
type Channel struct {
	// immutable after Register or Connect
	token      uint64
	plain      plaintext
	transport  Transport
	Attachment any // the owner's own, set by Register's caller

	// Owed is the owner's: how many requests are under way of a channel that is read from meanwhile. With some it is not
	// idle, does not move, and an end of its stream does not close it.
	Owed int

	// ready tells that the transport's handshake is over; before, the channel is not read from (KafkaChannel.ready).
	ready bool
	state MuteState
	// readable tells that a read may bring something; muting leaves it alone, so that what happened to a muted channel
	// is known when it is read again.
	readable   bool
	peerClosed bool // the peer has shut down its half: there will be an end of stream
	ended      bool // the end of stream was read
	queued     bool // in Selector.ready
	dirty      bool // in Selector.dirty
	retiring   bool // in Selector.retiring
	full       bool // the socket took less than it was given
	armed      bool // registered for Writable as well
	connecting bool
	closed     bool
	confined   bool // by Confine
	parked     bool // its receive was taken back and waits for the owner

	limit int // largest frame taken, without its size bytes

	in  receive
	out output
	timing
	partial partial
	traffic Traffic
}

// Token names the channel: 64 bits, never 0, never used again by this selector.
func (c *Channel) Token() uint64 { return c.token }

// State is the channel's mute state.
func (c *Channel) State() MuteState { return c.state }

// Ready tells whether the handshakes of the channel's transport are over.
func (c *Channel) Ready() bool { return c.ready }

// Closed tells whether the channel was closed; nothing can be done with it any more.
func (c *Channel) Closed() bool { return c.closed }

// PeerClosed tells whether the peer has shut down its writing half.
func (c *Channel) PeerClosed() bool { return c.peerClosed }

// Unsent is how many bytes of answers have not reached the socket.
func (c *Channel) Unsent() int { return c.out.bytes }

// Arrived tells whether bytes of the channel's next requests are here, be it in its socket only.
func (c *Channel) Arrived() bool {
	if c.closed || c.in.off < len(c.in.data) {
		return !c.closed
	}
	n, err := unix.IoctlGetInt(c.plain.fd, unix.TIOCINQ)
	return err == nil && n > 0
}

// Mute stops reading from the channel.
func (c *Channel) Mute() { c.state = c.state.Mute() }

// Handle moves the mute state; an error means that the channel has to be closed with ReasonIllegalState.
func (c *Channel) Handle(e MuteEvent) error {
	next, err := c.state.Handle(e)
	c.state = next
	return err
}

// TLS tells what the TLS handshake of a ready channel settled; false without TLS.
func (c *Channel) TLS() (state tls.ConnectionState, ok bool) {
	if t, is := c.transport.(*tlsTransport); is && c.ready {
		return t.conn.ConnectionState(), true
	}
	return state, false
}
