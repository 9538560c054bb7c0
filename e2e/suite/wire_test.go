package suite

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"kanal/libs/protocol"
)

// wire is a plain connection that speaks length-prefixed frames.
type wire struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, addr string) wire {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return wire{c, t}
}

// send writes bytes as they are. A connection that was closed meanwhile is for
// the next read to see.
func (w wire) send(b []byte) {
	_, _ = w.Write(b)
}

// frame is a frame with its size in front.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// read returns the next frame.
func (w wire) read() []byte {
	w.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(w, size[:]); err != nil {
		w.t.Fatalf("read the size of a frame: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w, body); err != nil {
		w.t.Fatalf("read a frame of %d bytes: %v", len(body), err)
	}
	return body
}

// requireClosed wants the peer to close without a word.
func (w wire) requireClosed() {
	w.t.Helper()
	n, err := w.Read(make([]byte, 100))
	var timeout net.Error
	if n > 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		w.t.Fatalf("the connection is not closed: %d bytes, %v", n, err)
	}
}

// header is a request header of version 1 with the body behind it.
func header(key protocol.APIKey, version int16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 7, 0, 4, 't', 'e', 's', 't') // correlation id 7, client id test
	return append(b, body...)
}
