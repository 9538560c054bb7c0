package network

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Transport is what lies between a channel and its socket. No method blocks. Plaintext is the socket itself; TLS keeps
// bytes of its own in both directions, and both rules below are made for that. (TransportLayer)
type Transport interface {
	// Handshake goes on with what the socket has, and tells when nothing is left to be done before the first Read. An
	// error ends the connection.
	Handshake() (ready bool, err error)
	// Read puts bytes into p. more tells that another Read may give bytes without the socket turning readable first,
	// for instance because decrypted bytes are still here; false promises that the next byte comes with a new edge.
	// n == 0 without an error means that there is nothing now; the peer's end is io.EOF.
	Read(p []byte) (n int, more bool, err error)
	// Write takes bytes of p. n < len(p) without an error means that the socket is full: call again with p[n:] (and
	// perhaps more behind it) when it turns writable. A transport that has taken bytes but not got rid of them does not
	// count them yet; it will find the same bytes at the front of the next call.
	Write(p []byte) (n int, err error)
	// HasPendingWrites tells that bytes of the transport's own, taken or made by itself, wait until the socket turns
	// writable. A Write without bytes sends only them.
	HasPendingWrites() bool
	// Close closes the socket.
	Close() error
}

// plaintext is a non-blocking socket as it is.
type plaintext struct{ fd int }

// Handshake has nothing to do (P18).
func (t *plaintext) Handshake() (bool, error) { return true, nil }

// HasPendingWrites is never so: Write counts what the socket took.
func (t *plaintext) HasPendingWrites() bool { return false }

// Read needs no second call to learn that the socket is empty: a read that gives less than asked for has drained it,
// and later bytes are a new edge (epoll(7)).
func (t *plaintext) Read(p []byte) (int, bool, error) {
	for {
		n, err := recv(t.fd, p)
		switch {
		case n > 0:
			return n, n == len(p), nil
		case err == nil:
			return 0, false, io.EOF
		case err == unix.EAGAIN:
			return 0, false, nil
		case err != unix.EINTR:
			return 0, false, os.NewSyscallError("recv", err)
		}
	}
}

func (t *plaintext) Write(p []byte) (int, error) {
	for {
		n, err := send(t.fd, p)
		switch {
		case err == nil:
			return n, nil
		case err == unix.EAGAIN:
			return 0, nil
		case err != unix.EINTR:
			return 0, os.NewSyscallError("send", err)
		}
	}
}

func (t *plaintext) Close() error { return os.NewSyscallError("close", unix.Close(t.fd)) }
