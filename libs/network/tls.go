package network

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
)

// TLS is the transport of one TLS connection, server side (SslTransportLayer): crypto/tls on a net.Conn that never
// blocks. Its handshake runs in a goroutine of its own (handshake); from then on it belongs to the selector's loop.
type tlsTransport struct {
	wire  tlsWire
	conn  *tls.Conn
	hs    *handshake // nil once it is over
	taken int        // plaintext bytes that are in wire.out, and not counted yet
}

func newTLSTransport(s *Selector, c *Channel, l Layers) *tlsTransport {
	t := &tlsTransport{wire: tlsWire{plain: &c.plain}}
	t.conn = tls.Server(&t.wire, l.TLS)
	t.hs = newHandshake(t, l.Handshakes, s, c)
	t.wire.hs = t.hs
	return t
}

// Handshake begins with the first bytes of the peer: one that stays silent costs a socket and no more (P2).
func (t *tlsTransport) Handshake() (bool, error) {
	if t.hs == nil {
		return true, nil
	}
	over, err := t.hs.step()
	if over && err == nil {
		t.hs, t.wire.hs = nil, nil
	}
	return over, err
}

// Read goes on until p is full or nothing is left: in the socket, in crypto/tls, in between (P11, P12).
func (t *tlsTransport) Read(p []byte) (n int, more bool, err error) {
	t.wire.begin(len(p))
	for n < len(p) && err == nil {
		var k int
		k, err = t.conn.Read(p[n:])
		n += k
	}
	arrived := t.wire.end()
	if flushErr := t.wire.flush(); flushErr != nil && (err == nil || err == errWouldBlock) {
		err = flushErr // of a key update's answer or an alert, which came about by reading
	}
	switch {
	case err == nil:
		return n, true, nil
	case err == errWouldBlock:
		// Bytes without plaintext may be the last before the end, which had its edge already.
		return n, n == 0 && arrived, nil
	case n > 0:
		return n, true, nil // crypto/tls tells its error again
	}
	return 0, false, readError(err)
}

// readError: an end in the middle of a record drops it like half a frame.
func readError(err error) error {
	var sys *os.SyscallError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	case errors.As(err, &sys):
		return err
	}
	return &LayerError{ReasonTLSFailed, err}
}

// mostPlaintext is what is encrypted before the socket is tried.
const mostPlaintext = 64 << 10

// Write encrypts nothing new before all that is encrypted has gone (P14).
func (t *tlsTransport) Write(p []byte) (n int, err error) {
	if t.hs != nil {
		return 0, t.hs.flush()
	}
	for {
		if err := t.wire.flush(); err != nil || t.wire.pending() {
			return n, err
		}
		n += t.taken
		t.taken = 0
		rest := p[min(n, len(p)):]
		if len(rest) == 0 {
			return n, nil
		}
		t.wire.borrow()
		if t.taken, err = t.conn.Write(rest[:min(len(rest), mostPlaintext)]); err != nil {
			return n, err
		}
	}
}

// HasPendingWrites tells of encrypted bytes that the socket has not taken.
func (t *tlsTransport) HasPendingWrites() bool {
	if t.hs != nil {
		return t.hs.pending()
	}
	return t.wire.pending()
}

// Close says goodbye if nothing stands before it, and does not wait (P15).
func (t *tlsTransport) Close() error {
	if t.hs != nil {
		return t.hs.close()
	}
	if !t.wire.pending() {
		_ = t.conn.CloseWrite()
		_ = t.wire.flush()
	}
	return t.wire.plain.Close()
}

// wouldBlock is the error that crypto/tls can be called again after.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "network: nothing there" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}
