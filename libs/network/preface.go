package network

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Preface reads what comes before everything else on a connection, such as a PROXY header. It is called on the loop with
// the bytes that have arrived so far, from the first on, and gives how many of them it was; done tells that it is over,
// else more bytes are needed. An error closes, best a LayerError.
type Preface func(arrived []byte) (n int, done bool, err error)

// longestPreface is what a Preface gets to see.
const longestPreface = 8 << 10

// prefaced is a transport that begins with a preface. It looks at the bytes without taking them, and takes the preface
// alone: the layer below starts with clean bytes, in whatever pieces they came.
type prefaced struct {
	Transport // what comes after
	s         *Selector
	c         *Channel
	read      Preface
}

// Handshake tells that the preface is over.
func (t *prefaced) Handshake() (bool, error) {
	arrived, err := t.peek()
	if err != nil || len(arrived) == 0 {
		return false, err
	}
	n, done, err := t.read(arrived)
	if err != nil {
		return false, err
	}
	if !done {
		if t.c.peerClosed || len(arrived) == longestPreface {
			return false, io.ErrUnexpectedEOF
		}
		return false, nil
	}
	if n > 0 {
		_, _, err = t.c.plain.Read(arrived[:n])
	}
	return err == nil, err
}

func (t *prefaced) peek() ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(t.c.plain.fd, t.s.gathered[:longestPreface], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case n > 0:
			return t.s.gathered[:n], nil
		case err == nil:
			return nil, io.EOF
		case err == unix.EAGAIN:
			return nil, nil
		case err != unix.EINTR:
			return nil, os.NewSyscallError("recv", err)
		}
	}
}
