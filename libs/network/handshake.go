package network

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// Handshakes are the TLS handshakes of a process, with two limits. A handshake that waits for its peer costs memory, one
// that computes costs a core: so many may be under way, the others wait in their order; and only as many compute as there
// are cores, so that a flood of connects leaves the loops of the established their share (unlike P4).
type Handshakes struct {
	computing chan struct{}

	mu       sync.Mutex
	room     int       // guarded by mu
	waiting  list.List // guarded by mu: of *handshake
	underWay int       // guarded by mu
}

// NewHandshakes sets the limits; each is at least 1.
func NewHandshakes(underWay, computing int) *Handshakes {
	return &Handshakes{computing: make(chan struct{}, max(computing, 1)), room: max(underWay, 1)}
}

// Counts gives the present numbers.
func (h *Handshakes) Counts() (underWay, waiting int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.underWay, h.waiting.Len()
}

// begin starts a handshake, or queues it.
func (h *Handshakes) begin(hs *handshake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if hs.sel.inFlight.Add(1); h.underWay >= h.room {
		hs.place = h.waiting.PushBack(hs)
		return
	}
	h.underWay++
	go hs.run()
}

// end gives a handshake's place to the first that waits.
func (h *Handshakes) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.waiting.Front()
	if next == nil {
		h.underWay--
		return
	}
	hs := h.waiting.Remove(next).(*handshake)
	hs.place = nil
	go hs.run()
}

// forget takes one out of the queue that was closed.
func (h *Handshakes) forget(hs *handshake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if hs.place != nil {
		h.waiting.Remove(hs.place)
		hs.place = nil
		hs.sel.inFlight.Done()
	}
}

// handshake is one connection's. crypto/tls cannot go on with a handshake that was interrupted, so it runs in a goroutine
// whose reads wait; the loop signals when the socket has something.
type handshake struct {
	limits *Handshakes
	sel    *Selector
	c      *Channel
	t      *tlsTransport
	place  *list.Element // guarded by limits.mu: in the queue
	begun  bool          // owned by the loop

	computes bool // owned by run: it has one of limits.computing

	signal chan struct{} // room for one: the socket has something
	gone   chan struct{} // closed with the channel

	mu     sync.Mutex // held for every use of the socket: once closed is set its descriptor may be somebody else's
	closed bool       // guarded by mu
	over   bool       // guarded by mu
	err    error      // guarded by mu
}

func newHandshake(t *tlsTransport, limits *Handshakes, s *Selector, c *Channel) *handshake {
	return &handshake{limits: limits, sel: s, c: c, t: t, signal: make(chan struct{}, 1), gone: make(chan struct{})}
}

// step is the loop's part: begin, go on, or take the result.
func (hs *handshake) step() (over bool, err error) {
	if !hs.begun {
		hs.begun = true
		hs.limits.begin(hs)
		return false, nil
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if !hs.over {
		select {
		case hs.signal <- struct{}{}:
		default:
		}
	}
	return hs.over, hs.err
}

// close is the loop's: it closes the socket and lets the goroutine end; Selector.Close waits for it.
func (hs *handshake) close() error {
	hs.limits.forget(hs)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if !hs.closed {
		hs.closed = true
		close(hs.gone)
	}
	return hs.t.wire.plain.Close()
}

// run is the goroutine.
func (hs *handshake) run() {
	defer hs.sel.inFlight.Done()
	defer hs.limits.end()
	err := hs.take()
	if err == nil {
		err = hs.t.conn.Handshake()
		hs.give()
	}
	hs.mu.Lock()
	hs.over, hs.err = true, handshakeError(err)
	hs.mu.Unlock()
	hs.sel.post(hs.c.token)
}

// take waits for a core, or for the channel's end; give gives it back.
func (hs *handshake) take() error {
	select {
	case hs.limits.computing <- struct{}{}:
		hs.computes = true
		return nil
	case <-hs.gone:
		return net.ErrClosed
	}
}

func (hs *handshake) give() {
	if hs.computes {
		<-hs.limits.computing
		hs.computes = false
	}
}

// read waits for bytes. What is to be sent goes first, so that the peer has what it waits for (P3).
func (hs *handshake) read(p []byte) (int, error) {
	for {
		if n, err := hs.tryRead(p); n > 0 || err != nil {
			return n, err
		}
		hs.give()
		select {
		case <-hs.signal:
		case <-hs.gone:
		}
		if err := hs.take(); err != nil {
			return 0, err
		}
	}
}

func (hs *handshake) tryRead(p []byte) (int, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.closed {
		return 0, net.ErrClosed
	}
	_ = hs.t.wire.flush() // an error shows in the read, after the bytes that came before it (P8)
	n, _, err := hs.t.wire.plain.Read(p)
	return n, err
}

// write sends at once what the socket takes; it never waits.
func (hs *handshake) write(p []byte) (int, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.closed {
		return len(p), nil // read tells
	}
	hs.t.wire.out = append(hs.t.wire.out, p...)
	_ = hs.t.wire.flush()
	return len(p), nil
}

// flush and pending are the loop's looks at what run has written.
func (hs *handshake) flush() error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.t.wire.flush()
}

func (hs *handshake) pending() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.t.wire.pending()
}

// handshakeError sorts failures: what the peer should not try again, against a connection that broke (P7).
func handshakeError(err error) error {
	var sys *os.SyscallError
	var notTLS tls.RecordHeaderError
	var refused *tls.CertificateVerificationError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &sys):
		return &LayerError{ReasonHandshakeAborted, err}
	case errors.As(err, &notTLS) && notTLS.Conn != nil:
		return &LayerError{ReasonPlaintextOnTLS, err}
	case errors.As(err, &refused):
		return &LayerError{ReasonTLSCertificateRefused, fmt.Errorf("%w, subject %.200s", err, subject(refused.UnverifiedCertificates))}
	case strings.Contains(err.Error(), "client didn't provide a certificate"):
		return &LayerError{ReasonTLSCertificateRefused, err}
	}
	return &LayerError{ReasonTLSHandshakeFailed, err}
}

// subject says whose certificate was refused.
func subject(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "unknown"
	}
	return chain[0].Subject.String()
}
