package suite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
	"kanal/libs/protocol"
)

func size(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// rubbish is what no client may send, and the reason its connection is closed for.
var rubbish = []struct {
	name, reason string
	input        []byte
	hangUp       bool // the peer goes, and is not thrown out
}{
	{"an HTTP request", "invalid_size", []byte("GET / HTTP/1.1\r\n\r\n"), false},
	{"a TLS hello", "tls_on_plaintext", []byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}, false},
	{"a negative size", "invalid_size", size(-1), false},
	{"the smallest size", "invalid_size", size(math.MinInt32), false},
	{"a size above the limit", "invalid_size", size(100<<20 + 1), false},
	{"the largest size", "invalid_size", append(size(math.MaxInt32), 1, 2, 3), false},
	{"an empty frame", "invalid_request", size(0), false},
	{"half a header", "invalid_request", frame([]byte{0, 3, 0}), false},
	{"a client id longer than its frame", "invalid_request", frame([]byte{0, 3, 0, 9, 0, 0, 0, 1, 0x7f, 0xff, 'x'}), false},
	// As in Kafka, a key that no release has makes the header itself unreadable.
	{"an api key that nobody has", "invalid_request", frame(header(9999, 0)), false},
	{"a negative api key", "invalid_request", frame(header(-3, 0)), false},
	{"an api of brokers among themselves", "invalid_request", frame(header(6, 5)), false},
	{"an api that is not offered", "unsupported_api", frame(header(protocol.DescribeQuorum, 0, 0)), false},
	{"a negative version", "invalid_request", frame(header(protocol.Metadata, -1)), false},
	{"a version that is not born yet", "unsupported_version", frame(header(protocol.Metadata, 99, 0)), false},
	{"a version that is out of use", "unsupported_version", frame(header(protocol.Fetch, 3)), false},
	{"half a size", "peer_closed", []byte{0, 0}, true},
	{"half a frame", "peer_closed", append(size(100), header(protocol.Metadata, 5)...), true},
	{"a body that cannot be read", "handler_closed", frame(header(protocol.Metadata, 5, 0x7f, 0xff, 0xff, 0xff)), false},
	{"a produce body of noise", "handler_closed", frame(header(protocol.Produce, 7, noise(300)...)), false},
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // never fails
	return b
}

// badInput sends rubbish: only its own connection is closed, for the reason that
// is counted, and nothing is left over. A good client goes on meanwhile.
func badInput(t *testing.T, on target) {
	topic := newTopic(t, on, 1)
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic))
	produced := 0
	stillServed := func(t *testing.T) {
		t.Helper()
		if err := cl.ProduceSync(limited(t, 30*time.Second), kgo.StringRecord("good")).FirstErr(); err != nil {
			t.Fatalf("a good client meanwhile: %v", err)
		}
		produced++
	}
	stillServed(t)
	bystander := dial(t, on.bootstrap)
	before := level(t, on)
	for _, r := range rubbish {
		t.Run(r.name, func(t *testing.T) {
			closed := on.frontEnd.Metric(t, "kanal_connections_closed_total", "reason", r.reason)
			const times = 10
			for range times {
				throw(t, on, r.input, r.hangUp)
			}
			process.Poll(t, 10*time.Second, "ten closes are counted as "+r.reason, func() error {
				now := on.frontEnd.Metric(t, "kanal_connections_closed_total", "reason", r.reason)
				if now < closed+times {
					return fmt.Errorf("%g are", now-closed)
				}
				return nil
			})
			stillServed(t)
		})
	}
	t.Run("noise of any kind", func(t *testing.T) { throwNoise(t, on) })
	t.Run("unknown ApiVersions", func(t *testing.T) { unknownApiVersions(t, on) })
	stillServed(t)
	bystander.send(frame(header(protocol.ApiVersions, 0)))
	if answer := bystander.read(); len(answer) < 10 {
		t.Errorf("a connection that was there all the time is answered %x", answer)
	}
	if got := ends(t, on, topic); got[0] != int64(produced) {
		t.Errorf("the topic ends at %d after %d good records", got[0], produced)
	}
	requireLevel(t, on, before)
}

// throw sends rubbish over a connection of its own.
func throw(t *testing.T, on target, input []byte, hangUp bool) {
	t.Helper()
	w := dial(t, on.bootstrap)
	w.send(input)
	if !hangUp {
		w.requireClosed()
	}
	_ = w.Close() // nothing is expected of it any more
}

// throwNoise sends random bytes, whole and in pieces, and hangs up.
func throwNoise(t *testing.T, on target) {
	n := process.Seed(t)
	r := rand.New(rand.NewPCG(n, 0))
	for range process.Rounds(200, 5000) {
		b := make([]byte, 1+r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 { // let it pass as a frame
			b = frame(header(protocol.APIKey(r.IntN(70)), int16(r.IntN(14)), b...))
		}
		w := dial(t, on.bootstrap)
		cut := r.IntN(len(b) + 1)
		w.send(b[:cut])
		w.send(b[cut:])
		_ = w.Close() // nothing is expected of it any more
	}
}

// unknownApiVersions is no reason to close: any client can read the answer.
func unknownApiVersions(t *testing.T, on target) {
	w := dial(t, on.bootstrap)
	for range 2 {
		w.send(frame(header(protocol.ApiVersions, 99)))
		answer := w.read()
		if !bytes.HasPrefix(answer, []byte{0, 0, 0, 7, 0, 35}) {
			t.Fatalf("answered %x, not correlation id 7 and error 35", answer)
		}
	}
}

// levels is what a process holds that connections must give back.
type levels struct{ connections, descriptors, goroutines int }

func level(t *testing.T, on target) levels {
	t.Helper()
	return levels{
		connections: int(on.frontEnd.Metric(t, "kanal_connections")),
		descriptors: on.frontEnd.Descriptors(t),
		goroutines:  int(on.frontEnd.Metric(t, "go_goroutines")),
	}
}

// slack is what may differ between two quiet moments: a client's connection to
// another broker, a pool's goroutine. The tests open hundreds of connections.
const slack = 20

func requireLevel(t *testing.T, on target, before levels) {
	t.Helper()
	process.Poll(t, 30*time.Second, "everything is given back", func() error {
		now := level(t, on)
		if now.connections > before.connections+slack || now.descriptors > before.descriptors+slack || now.goroutines > before.goroutines+slack {
			return fmt.Errorf("%+v, before it was %+v", now, before)
		}
		return nil
	})
}
