// Package frontend tests the front end as its clients see it, with a handler
// service that does what the test says: real sockets, a real NATS server, the
// real request channel between them.
package frontend

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"kanal/libs/handler"
	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
	"kanal/services/frontend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func startNATS(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// seen is what a handler knew of a request.
type seen struct {
	requestchannel.Request
	client string
	body   kmsg.Request
}

// startHandler runs the service named test: it answers Metadata and Produce
// with empty responses and shows what it saw.
func startHandler(t testing.TB, url string) <-chan seen {
	t.Helper()
	requests := make(chan seen, 1000)
	mux := handler.NewMux()
	answer := func(_ context.Context, r *handler.Request) (kmsg.Response, error) {
		requests <- seen{r.Incoming.Request, r.ClientID, r.Body}
		return r.Body.ResponseKind(), nil
	}
	mux.Handle(protocol.Metadata, 0, 13, answer)
	mux.Handle(protocol.Produce, 3, 9, answer)
	s, err := handler.NewServer(handler.Config{
		Subjects: requestchannel.Subjects{Prefix: "kanal", Cluster: "test"}, Service: "test", Release: "0.0.1", Window: 32, DrainTimeout: time.Second,
	}, mux, connect(t, url), connect(t, url), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return requests
}

// run runs a service until it is stopped, by the end of the test at the latest.
func run(t testing.TB, r service.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// fixture is a running front end and the service behind it.
type fixture struct {
	*frontend.Service
	t        testing.TB
	registry *prometheus.Registry
	requests <-chan seen
	stop     func()
}

// newFrontEnd makes a front end configured by environment variables beyond
// those of every test, and runs it.
func newFrontEnd(t testing.TB, url string, variables map[string]string) *fixture {
	t.Helper()
	environment := map[string]string{
		"KANAL_CLUSTER": "test", "KANAL_LISTENERS": "TEST://127.0.0.1:0", "KANAL_PROCESSORS": "1", "KANAL_REQUIRED_SERVICES": "test",
	}
	for name, value := range variables {
		environment[name] = value
	}
	for name, value := range environment {
		t.Setenv(name, value) // listeners read the environment themselves
	}
	cfg, err := env.ParseAs[frontend.Config]()
	if err := errors.Join(err, cfg.Validate()); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, registry: prometheus.NewRegistry()}
	f.Service, err = frontend.New(cfg, service.Deps{
		Log: slog.New(slog.DiscardHandler), Metrics: f.registry, Ready: &service.Readiness{},
		Connect: func(name string, opts ...nats.Option) (*nats.Conn, error) { return nats.Connect(url, opts...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.stop = run(t, f.Service)
	return f
}

// start runs NATS, the handler and a front end, whose ports are open then.
func start(t testing.TB, variables map[string]string) *fixture {
	t.Helper()
	url := startNATS(t)
	requests := startHandler(t, url)
	f := newFrontEnd(t, url, variables)
	f.requests = requests
	f.awaitOpened()
	return f
}

func (f *fixture) awaitOpened() {
	f.t.Helper()
	select {
	case <-f.Opened():
	case <-time.After(patience):
		f.t.Fatal("the ports do not open")
	}
}

// next is the next request that a handler sees.
func (f *fixture) next() seen {
	f.t.Helper()
	select {
	case r := <-f.requests:
		return r
	case <-time.After(patience):
		f.t.Fatal("no request came")
		return seen{}
	}
}

// untouched is that no handler has seen anything.
func (f *fixture) untouched() {
	f.t.Helper()
	select {
	case r := <-f.requests:
		f.t.Errorf("a handler got %v version %d", r.APIKey, r.APIVersion)
	default:
	}
}

// closedFor waits until as many connections were closed for a reason.
func (f *fixture) closedFor(reason string, n float64) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := f.closed(reason)
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%v closed for %s, want %v", got, reason, n)
		}
	}
}

func (f *fixture) closed(reason string) (n float64) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "kanal_connections_closed_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == reason {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// client is a plain connection.
type client struct {
	net.Conn
	t testing.TB
}

func (f *fixture) dial() client { return f.dialListener("TEST") }

func (f *fixture) dialListener(name string) client {
	f.t.Helper()
	c, err := net.DialTimeout("tcp", f.Addr(name), patience)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		f.t.Fatal(err)
	}
	return client{c, f.t}
}

// send sends a frame. A connection that was closed meanwhile is for the next
// read to see.
func (c client) send(frame []byte) { _, _ = c.Write(sized(frame)) }

func sized(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// receive reads an answer, whose correlation id is in front.
func (c client) receive() []byte {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	return frame
}

// ask sends a request and reads its answer.
func (c client) ask(q kmsg.Request) kmsg.Response {
	c.t.Helper()
	const correlation = 77
	c.send(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, q, correlation)[4:])
	frame := c.receive()
	if got := binary.BigEndian.Uint32(frame); got != correlation {
		c.t.Fatalf("the answer is to request %d", got)
	}
	body := frame[4:]
	if protocol.APIKey(q.Key()).ResponseHeaderFlexible(q.GetVersion()) {
		body = body[1:]
	}
	r := q.ResponseKind()
	r.SetVersion(q.GetVersion())
	if err := r.ReadFrom(body); err != nil {
		c.t.Fatalf("%x: %v", body, err)
	}
	return r
}

// wantEnd reads the end of stream, with nothing before it.
func (c client) wantEnd() {
	c.t.Helper()
	got, err := io.ReadAll(c)
	if len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("%x and %v, want the end of stream", got, err)
	}
}

// header is a request header of version 1.
func header(key protocol.APIKey, version int16, correlation int32, clientID *string, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	if clientID == nil {
		b = append(b, 0xff, 0xff)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(*clientID)))
		b = append(b, *clientID...)
	}
	return append(b, body...)
}

func metadata(version int16) kmsg.Request {
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(version)
	return q
}

func ptr[T any](v T) *T { return &v }

// served is that a connection is answered.
func (f *fixture) served(c client) seen {
	f.t.Helper()
	c.ask(metadata(5))
	return f.next()
}

func hasPrefix(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.HasPrefix(got, want) {
		t.Errorf("%s: %x, want %x", what, got, want)
	}
}
