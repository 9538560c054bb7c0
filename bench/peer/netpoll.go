package peer

import (
	"context"
	"encoding/binary"

	"github.com/cloudwego/netpoll"
)

func startNetpoll() (string, error) {
	l, err := netpoll.CreateListener("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	loop, err := netpoll.NewEventLoop(netpollEcho)
	if err != nil {
		return "", err
	}
	go loop.Serve(l) // until the process ends
	return l.Addr().String(), nil
}

// netpollEcho answers all frames that are here, and flushes once.
func netpollEcho(_ context.Context, c netpoll.Connection) error {
	r, w := c.Reader(), c.Writer()
	for {
		size, err := r.Peek(sizeBytes)
		if err != nil {
			return err
		}
		frame, err := r.Slice(sizeBytes + int(binary.BigEndian.Uint32(size)))
		if err != nil {
			return err
		}
		b, err := frame.ReadBinary(frame.Len())
		if err != nil {
			return err
		}
		if _, err := w.WriteBinary(b); err != nil {
			return err
		}
		if r.Len() < sizeBytes {
			return w.Flush()
		}
	}
}
