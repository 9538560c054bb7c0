package network

import (
	"io"
	"net"
	"slices"
	"time"
)

// ciphertext is the scratch of all TLS transports of one selector. It holds nothing between two calls, so that an idle
// connection has no buffers of its own but those of crypto/tls.
type ciphertext struct{ in, out []byte }

// recordOverhead is what a record is longer than its plaintext, at most; the rest of a small read.
const recordOverhead = 256

func newCiphertext() *ciphertext {
	return &ciphertext{in: make([]byte, readRoom), out: make([]byte, 0, mostPlaintext+mostPlaintext/16)}
}

// tlsWire is the net.Conn below crypto/tls. After the handshake nothing in it waits: Read tells errWouldBlock when there
// is nothing, Write takes everything.
type tlsWire struct {
	plain   *plaintext
	scratch *ciphertext
	hs      *handshake // while it goes on, reading waits and all is locked

	// of reading
	rest    []byte // read from the socket, not by crypto/tls yet; within scratch.in only between begin and end
	limit   int    // of one read
	drained bool   // the socket is empty
	arrived bool
	ended   bool

	// of writing
	out      []byte
	borrowed bool // out is scratch.out
}

// begin starts a round of reads that can take room bytes of plaintext; end closes it and tells whether bytes came. What
// crypto/tls has no room for is kept.
func (w *tlsWire) begin(room int) {
	w.drained, w.arrived = false, false
	w.limit = min(room+recordOverhead, len(w.scratch.in))
}

func (w *tlsWire) end() (arrived bool) {
	if len(w.rest) == 0 {
		w.rest = nil
	} else if w.arrived {
		w.rest = slices.Clone(w.rest)
	}
	return w.arrived
}

// Read is net.Conn's.
func (w *tlsWire) Read(p []byte) (int, error) {
	if w.hs != nil {
		return w.hs.read(p)
	}
	if len(w.rest) == 0 {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *tlsWire) fill() error {
	switch {
	case w.ended:
		return io.EOF
	case w.drained:
		return errWouldBlock
	}
	n, more, err := w.plain.Read(w.scratch.in[:w.limit])
	if w.ended, w.drained = err == io.EOF, !more; err != nil {
		return err
	}
	if n == 0 {
		return errWouldBlock
	}
	w.arrived, w.rest = true, w.scratch.in[:n]
	return nil
}

// Write is net.Conn's; flush sends.
func (w *tlsWire) Write(p []byte) (int, error) {
	if w.hs != nil {
		return w.hs.write(p)
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

func (w *tlsWire) pending() bool { return len(w.out) > 0 }

// borrow lets the next writes gather in the scratch, until flush.
func (w *tlsWire) borrow() { w.out, w.borrowed = w.scratch.out[:0], true }

// flush gives the socket what it takes; what is left is kept in memory of its own.
func (w *tlsWire) flush() error {
	rest := w.out
	for len(rest) > 0 {
		n, err := w.plain.Write(rest)
		if err != nil {
			rest = nil
			w.settle(rest)
			return err
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	w.settle(rest)
	return nil
}

func (w *tlsWire) settle(rest []byte) {
	if w.borrowed {
		w.scratch.out, w.borrowed = w.out[:0], false
		rest = slices.Clone(rest)
	}
	if w.out = rest; len(rest) == 0 {
		w.out = nil
	}
}

// Close is net.Conn's. The channel's owner closes, crypto/tls does not.
func (w *tlsWire) Close() error { return nil }

// LocalAddr and RemoteAddr are net.Conn's; crypto/tls needs neither (P19).
func (w *tlsWire) LocalAddr() net.Addr  { return nil }
func (w *tlsWire) RemoteAddr() net.Addr { return nil }

// The deadlines are the selector's.
func (w *tlsWire) SetDeadline(time.Time) error      { return nil }
func (w *tlsWire) SetReadDeadline(time.Time) error  { return nil }
func (w *tlsWire) SetWriteDeadline(time.Time) error { return nil }
