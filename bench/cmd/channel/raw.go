package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"

	"kanal/bench/peer"
	"kanal/libs/requestchannel"
)

const frontEnd = "FRONTENDFRONTENDFRONT1" // as long as a NUID

// origin is a usual one.
func origin() []byte {
	return requestchannel.AppendOrigin(nil, requestchannel.Origin{
		FrontEnd: frontEnd, ConnectionID: "127.0.0.1:9092-127.0.0.1:50000-3-12345", Listener: "PLAINTEXT", Principal: "User:ANONYMOUS",
		ClientAddress: "127.0.0.1", SoftwareName: "apache-kafka-java", SoftwareVersion: "4.1.0",
	})
}

// overhead is what the channel's messages have beside the frames, in bytes.
func overhead() (request, response int) {
	return len(requestchannel.AppendRequest(nil, new(requestchannel.Request), origin())), len(requestchannel.AppendResponse(nil, new(requestchannel.Response)))
}

// raw publishes to a fixed subject with a fixed reply subject, each request anew from the callback of its answer. The
// last eight bytes of a payload say which of the window it is.
type raw struct {
	nc   *nats.Conn
	size int
}

func newRaw(url string, size int) (*raw, error) {
	nc, err := peer.Dial(url, "raw")
	return &raw{nc, size}, err
}

func (r *raw) close() { r.nc.Close() }

func (r *raw) drive(ctx context.Context, l load, latencies *hdrhistogram.Histogram) (answers int64, err error) {
	payloads := make([][]byte, l.window)
	begun := make([]atomic.Int64, l.window)
	for i := range payloads {
		payloads[i] = binary.BigEndian.AppendUint64(make([]byte, r.size-8), uint64(i))
	}
	send := func(i uint64, now int64) error {
		begun[i].Store(now)
		return r.nc.PublishRequest(peer.RawRequests, peer.RawResponses, payloads[i])
	}
	end, open, done := clock()+int64(l.duration), l.window, make(chan error, 1)
	sub, err := r.nc.Subscribe(peer.RawResponses, func(m *nats.Msg) {
		now, i := clock(), binary.BigEndian.Uint64(m.Data[len(m.Data)-8:])
		_ = latencies.RecordValue((now - begun[i].Load()) / 1000) // below most
		answers++
		if now < end {
			if err := send(i, now); err != nil {
				done <- err
			}
		} else if open--; open == 0 {
			done <- nil
		}
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return 0, err
	}
	for i := range l.window {
		if err := send(uint64(i), clock()); err != nil {
			return 0, err
		}
	}
	select {
	case err = <-done:
		return answers, err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(l.duration + 20*time.Second):
		return 0, fmt.Errorf("answers are missing 20 s after the end")
	}
}
