package loadgen

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// askTimeout bounds one question to a server before the load begins.
const askTimeout = 10 * time.Second

// ask sends one request on a connection of its own and waits for the answer.
// The response comes with the Kafka error in it, if any.
func ask(ctx context.Context, addr string, request kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })() // ends what blocks below
	answer, err := roundTrip(c, frameOf(request))
	if err != nil {
		return nil, fmt.Errorf("ask %s at %s: %w; is it a Kafka listener?", kmsg.NameForKey(request.Key()), addr, err)
	}
	return decode(request, answer)
}

// roundTrip writes a frame and reads one.
func roundTrip(c io.ReadWriter, frame []byte) ([]byte, error) {
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		return nil, err
	}
	var size [sizeBytes]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame {
		return nil, fmt.Errorf("%w: size %d, limit %d", errUnreadable, n, maxFrame)
	}
	answer := make([]byte, n)
	_, err := io.ReadFull(c, answer)
	return answer, err
}
