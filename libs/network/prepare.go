package network

import (
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"

	"kanal/libs/epoll"
)

// Layers are what lies between a socket and its frames, the outermost first; nil is left out.
type Layers struct {
	Preface    Preface
	TLS        *tls.Config
	Handshakes *Handshakes // of TLS: the limits that all selectors share
}

func (l *Layers) any() bool { return l.Preface != nil || l.TLS != nil }

// LayerError is why a layer ends a connection.
type LayerError struct {
	Reason CloseReason
	Err    error
}

func (e *LayerError) Error() string { return e.Err.Error() }
func (e *LayerError) Unwrap() error { return e.Err }

// build stacks the layers of a channel; the outermost is its transport first.
func (s *Selector) build(c *Channel, l Layers) (interest uint32) {
	if l.TLS == nil {
		interest = s.rebuild(c, nil)
	} else {
		interest = s.rebuild(c, newTLSTransport(s, c, l))
	}
	if l.Preface != nil {
		c.transport = &prefaced{Transport: c.transport, c: c, s: s, read: l.Preface}
	}
	return interest
}

// rebuild puts a transport onto a channel of this selector; nil is plaintext. TLS also writes when nobody flushes, and
// must be told when the socket is writable.
func (s *Selector) rebuild(c *Channel, t Transport) (interest uint32) {
	encrypted, ok := t.(*tlsTransport)
	if !ok {
		if c.transport = t; t == nil {
			c.transport = &c.plain
		}
		return epoll.Readable
	}
	if s.cipher == nil {
		s.cipher = newCiphertext()
	}
	encrypted.wire.plain, encrypted.wire.scratch = &c.plain, s.cipher
	c.transport, c.armed = encrypted, true
	return epoll.Readable | epoll.Writable
}

// overdue is what it is called when a transport does not get ready in time.
func overdue(t Transport) CloseReason {
	if _, ok := t.(*prefaced); ok {
		return ReasonProxyHeaderDeadline
	}
	return ReasonTLSHandshakeDeadline
}

// noteUnready takes down an event of a channel whose handshake goes on. A broken connection is no matter yet: the bytes
// that came before may be an alert that tells why (P8).
func (s *Selector) noteUnready(c *Channel, e *epoll.Event) {
	if e.Is(epoll.PeerClosed) {
		c.peerClosed = true
	}
	if e.Is(epoll.Readable|epoll.PeerClosed|epoll.Broken) || c.transport.HasPendingWrites() {
		c.readable = true
	}
	s.resume(c)
}

// prepare goes on with the handshake, and tells whether the channel can be read from (KafkaChannel.prepare).
func (s *Selector) prepare(c *Channel) bool {
	ready, err := c.transport.Handshake()
	if p, ok := c.transport.(*prefaced); ok && ready {
		c.transport = p.Transport
		ready, err = c.transport.Handshake()
	}
	if err != nil {
		reason, layer := ReasonHandshakeAborted, (*LayerError)(nil)
		if errors.As(err, &layer) {
			reason = layer.Reason
		}
		s.CloseChannel(c, reason, err)
		return false
	}
	c.readable = ready // its edges were eaten, and the layer may hold bytes
	if !ready {
		return false
	}
	c.ready = true
	if s.clock != nil {
		c.since, c.active = s.now, s.now
		s.hasten(c)
	}
	if c.transport.HasPendingWrites() {
		s.becomeFull(c)
	}
	if c.peerClosed {
		s.halfClosed.add(c)
	}
	s.prepared.add(c)
	return true
}

// posted is where goroutines put down the channels that the loop shall look at.
type posted struct {
	any    atomic.Bool
	mu     sync.Mutex
	tokens []uint64 // guarded by mu
}

// post may be called by any goroutine that inFlight counts.
func (s *Selector) post(token uint64) {
	s.posted.mu.Lock()
	s.posted.tokens = append(s.posted.tokens, token)
	s.posted.mu.Unlock()
	s.posted.any.Store(true)
	s.Wake()
}

func (s *Selector) takePosted() {
	if !s.posted.any.Swap(false) {
		return
	}
	s.posted.mu.Lock()
	defer s.posted.mu.Unlock()
	for _, token := range s.posted.tokens {
		if c := s.Channel(token); c != nil {
			c.readable = true
			s.resume(c)
		}
	}
	s.posted.tokens = s.posted.tokens[:0]
}
