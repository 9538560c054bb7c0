package socketserver_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; quiet how long it watches for what must not.
const (
	patience = 10 * time.Second
	quiet    = 30 * time.Millisecond
)

// held is a request in the hands of the test.
type held struct {
	conn        *socketserver.Connection
	token       uint64
	processor   int
	correlation int32
	frame       []byte
	received    int64
	sequence    uint64
}

type gone struct {
	token uint64
	half  bool
}

// processors are what a request channel knows of its server's.
type processors struct {
	lock sync.Mutex
	m    map[int]*socketserver.Processor // those that have ended included
	live map[int]bool
}

func (ps *processors) AddProcessor(p *socketserver.Processor) error {
	ps.lock.Lock()
	defer ps.lock.Unlock()
	if ps.m == nil {
		ps.m, ps.live = map[int]*socketserver.Processor{}, map[int]bool{}
	}
	ps.m[p.ID()], ps.live[p.ID()] = p, true
	return nil
}

func (ps *processors) RemoveProcessor(id int) {
	ps.lock.Lock()
	defer ps.lock.Unlock()
	delete(ps.live, id)
}

func (ps *processors) processor(id int) *socketserver.Processor {
	ps.lock.Lock()
	defer ps.lock.Unlock()
	return ps.m[id]
}

func (ps *processors) living() int {
	ps.lock.Lock()
	defer ps.lock.Unlock()
	return len(ps.live)
}

// handlers is a request channel whose requests the test answers.
type handlers struct {
	server   *socketserver.Server
	requests chan held
	gone     chan gone

	processors

	mu      sync.Mutex
	refuse  map[protocol.APIKey]network.CloseReason
	room    int // how many more it takes
	refused int // how often it was full
}

func (h *handlers) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reason, ok := h.refuse[r.Header.Key]; ok && r.Conn.Kind == socketserver.KindKafka {
		return false, reason
	}
	if h.room == 0 {
		h.refused++
		return false, network.ReasonNone
	}
	h.room--
	h.requests <- held{r.Conn, r.Conn.Token, r.Conn.Processor, r.Header.CorrelationID, bytes.Clone(r.Frame), r.Received, r.Sequence}
	return true, network.ReasonNone
}

func (h *handlers) Flush(int) {}

func (h *handlers) Disconnected(_ int, token uint64, half bool) { h.gone <- gone{token, half} }

func (h *handlers) setRoom(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.room = n
}

func (h *handlers) refuseKey(key protocol.APIKey, reason network.CloseReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse[key] = reason
}

func (h *handlers) timesRefused() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

// next is the next request.
func (h *handlers) next(t testing.TB) held {
	t.Helper()
	select {
	case r := <-h.requests:
		return r
	case <-time.After(patience):
		t.Fatal("no request came")
		return held{}
	}
}

// none watches that no request comes.
func (h *handlers) none(t testing.TB) {
	t.Helper()
	select {
	case r := <-h.requests:
		t.Fatalf("request %d came", r.correlation)
	case <-time.After(quiet):
	}
}

// untouched is that no request has come: the caller has seen the end of what could bring one.
func (h *handlers) untouched(t testing.TB) {
	t.Helper()
	if n := len(h.requests); n > 0 {
		t.Errorf("%d requests have come", n)
	}
}

func (h *handlers) disconnected(t testing.TB) gone {
	t.Helper()
	select {
	case g := <-h.gone:
		return g
	case <-time.After(patience):
		t.Fatal("no disconnect was told")
		return gone{}
	}
}

func (h *handlers) respond(r held, response socketserver.Response) {
	response.Token, response.Sequence = r.token, r.sequence
	h.processor(r.processor).Deliver([]socketserver.Response{response})
}

// answer sends the correlation id back with a payload.
func (h *handlers) answer(r held, payload ...byte) *outcome {
	o := newOutcome()
	h.respond(r, socketserver.Response{Frame: answerFrame(r.correlation, payload), Completer: o})
	return o
}

func answerFrame(correlation int32, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(correlation)), payload...)
}

// outcome is a completer that the test waits for; a second outcome panics.
type outcome struct {
	told chan socketserver.Outcome
	once sync.Mutex
}

func newOutcome() *outcome { return &outcome{told: make(chan socketserver.Outcome, 1)} }

func (o *outcome) Completed(result socketserver.Outcome, _ int64) {
	if !o.once.TryLock() {
		panic("completed twice")
	}
	o.told <- result
}

func (o *outcome) want(t testing.TB, want socketserver.Outcome) {
	t.Helper()
	select {
	case got := <-o.told:
		if got != want {
			t.Fatalf("outcome %v, want %v", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no outcome, want %v", want)
	}
}

// fixture is a running server with one listener.
type fixture struct {
	*handlers
	server *socketserver.Server
	reg    *prometheus.Registry
	log    *logBuffer
}

type logBuffer struct {
	mu       sync.Mutex
	b        bytes.Buffer
	follower func(line string)
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.follower != nil {
		l.follower(string(p))
	}
	return l.b.Write(p)
}

// follow gives each line to come to f, under the lock.
func (l *logBuffer) follow(f func(line string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.follower = f
}

// has tells whether a line holds all the parts.
func (l *logBuffer) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for line := range strings.Lines(l.b.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		return true
	}
	return false
}

// start runs a server; at the end of the test it checks that no descriptor is left. The defaults: a Kafka listener
// named TEST on a free port of 127.0.0.1 with one processor.
func start(t testing.TB, listeners ...socketserver.ListenerConfig) *fixture {
	t.Helper()
	f := prepare(t, listeners...)
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

func prepare(t testing.TB, listeners ...socketserver.ListenerConfig) *fixture {
	t.Helper()
	h := newHandlers()
	f := prepareWith(t, h, listeners)
	f.handlers, h.server = h, f.server
	return f
}

func newHandlers() *handlers {
	return &handlers{requests: make(chan held, 1<<16), gone: make(chan gone, 1<<16), room: 1 << 30,
		refuse: map[protocol.APIKey]network.CloseReason{}}
}

// startWith is start with a request channel of the test's own.
func startWith(t testing.TB, rc socketserver.RequestChannel, listeners []socketserver.ListenerConfig) *fixture {
	t.Helper()
	f := prepareWith(t, rc, listeners)
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

func prepareWith(t testing.TB, rc socketserver.RequestChannel, listeners []socketserver.ListenerConfig) *fixture {
	t.Helper()
	return prepareConfig(t, rc, socketserver.Config{Listeners: listeners})
}

func prepareConfig(t testing.TB, rc socketserver.RequestChannel, cfg socketserver.Config) *fixture {
	t.Helper()
	descriptors := openDescriptors(t)
	listeners := cfg.Listeners
	if len(listeners) == 0 {
		listeners = []socketserver.ListenerConfig{{}}
	}
	for i := range listeners {
		l := &listeners[i]
		l.Name, l.Host, l.Processors = cmp.Or(l.Name, "TEST"), cmp.Or(l.Host, "127.0.0.1"), cmp.Or(l.Processors, 1)
	}
	f := &fixture{reg: prometheus.NewRegistry(), log: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	cfg.Listeners = listeners
	if f.server, err = socketserver.New(cfg, rc, log, f.reg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
		eventually(t, "descriptors are given back", func() bool { return openDescriptors(t) <= descriptors })
	})
	return f
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// metric is the sum over all series of a name whose labels include the given values.
func (f *fixture) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			for _, want := range labels {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// closedFor waits until a connection was closed for a reason.
func (f *fixture) closedFor(t testing.TB, reason network.CloseReason, n float64) {
	t.Helper()
	eventually(t, "connections are closed for "+reason.String(), func() bool {
		return f.metric(t, "kanal_connections_closed_total", reason.String()) == n
	})
}

// client is the other end.
type client struct {
	*net.TCPConn
	t testing.TB
}

func (f *fixture) dial(t testing.TB) client {
	t.Helper()
	return dial(t, f.server.Addr("TEST", 0))
}

func dial(t testing.TB, addr net.Addr) client {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn.(*net.TCPConn), t}
}

// request is a Metadata v1 request with any body.
func request(correlation int32, body ...byte) []byte {
	return requestFor(protocol.Metadata, correlation, body...)
}

func requestFor(key protocol.APIKey, correlation int32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = append(b, 0, 4, 't', 'e', 's', 't')
	return sized(append(b, body...))
}

func sized(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func requests(from, to int32) []byte {
	var b []byte
	for i := from; i <= to; i++ {
		b = append(b, request(i)...)
	}
	return b
}

func (c client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads an answer.
func (c client) receive() (correlation int32, payload []byte) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	return int32(binary.BigEndian.Uint32(frame)), frame[4:]
}

func (c client) wantAnswer(correlation int32) {
	c.t.Helper()
	if got, _ := c.receive(); got != correlation {
		c.t.Fatalf("answer %d came, want %d", got, correlation)
	}
}

// wantEnd reads until the end of stream, which must be no reset unless that is allowed.
func (c client) wantEnd(resetToo bool) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := io.Copy(io.Discard, c)
	if n > 0 || err != nil && !(resetToo && !errors.Is(err, os.ErrDeadlineExceeded)) {
		c.t.Fatalf("%d bytes and %v, want the end of stream", n, err)
	}
}

// reset closes with RST.
func (c client) reset() {
	c.SetLinger(0)
	c.Close()
}

func drain(t testing.TB, s *socketserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

// count is how often a text was logged.
func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}
