package examples

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanal/e2e/process"
)

// exchange sends a frame and reads the answer, which must be the same.
func exchange(c net.Conn, frame []byte) error {
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint32(size[:]); n != uint32(len(frame)) {
		return fmt.Errorf("a frame of %d bytes came back with %d", len(frame), n)
	}
	got := make([]byte, len(frame))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, frame) {
		return fmt.Errorf("a frame of %d bytes came back changed", len(frame))
	}
	return nil
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(3 * time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// load has connections send frames, each when the last came back, until it is
// stopped. No connection may end, and no frame may come back other than it was sent.
type load struct {
	exchanges atomic.Int64
	stopping  atomic.Bool
	all       sync.WaitGroup
	failed    chan error
}

func startLoad(t *testing.T, addr string, connections int) *load {
	t.Helper()
	l := &load{failed: make(chan error, connections)}
	for i := range connections {
		c := dial(t, addr)
		l.all.Go(func() {
			for n := 0; !l.stopping.Load(); n++ {
				if err := exchange(c, fmt.Appendf(nil, "connection %d, frame %d", i, n)); err != nil {
					l.failed <- fmt.Errorf("connection %d, frame %d: %w", i, n, err)
					return
				}
				l.exchanges.Add(1)
			}
		})
	}
	t.Cleanup(func() { l.stopping.Store(true) })
	return l
}

// advance waits until every connection could have had many more answers.
func (l *load) advance(t *testing.T, why string) {
	t.Helper()
	from := l.exchanges.Load()
	process.Poll(t, time.Minute, "the load goes on "+why, func() error {
		select {
		case err := <-l.failed:
			return process.Hopeless(err)
		default:
		}
		if n := l.exchanges.Load() - from; n < 500 {
			return fmt.Errorf("%d more exchanges", n)
		}
		return nil
	})
}

func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stopping.Store(true)
	l.all.Wait()
	select {
	case err := <-l.failed:
		t.Fatal(err)
	default:
	}
}
