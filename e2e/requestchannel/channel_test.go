package requestchannel

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"kanal/libs/handler"
	"kanal/libs/memory"
	"kanal/libs/protocol"
	rc "kanal/libs/requestchannel"
)

var subjects = rc.Subjects{Prefix: "kanal", Cluster: "test"}

// started is the clock of the tests.
var started = time.Now()

func now() int64 { return int64(time.Since(started)) }

func natsServer(t testing.TB, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// outcomes is a Sink that keeps what it is given.
type outcomes struct {
	mu      sync.Mutex
	got     map[uint64][]rc.Outcome // by connection
	resumed atomic.Int64
}

func (o *outcomes) Deliver(_ int, batch []rc.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range batch {
		x.Pending.Done(rc.Sent, now(), 0)
		x.Pending = nil
		o.got[x.Token] = append(o.got[x.Token], x)
	}
}

func (o *outcomes) Resume(int) { o.resumed.Add(1) }

func (o *outcomes) of(token uint64) []rc.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got[token]
}

type frontEnd struct {
	*rc.Channel
	outcomes
	origin []byte
	token  uint64
}

func newFrontEnd(t testing.TB, url string, change func(*rc.ChannelConfig)) *frontEnd {
	t.Helper()
	f := &frontEnd{outcomes: outcomes{got: map[uint64][]rc.Outcome{}}}
	f.Channel = runChannel(t, url, change, f)
	f.origin = rc.AppendOrigin(nil, rc.Origin{FrontEnd: "fe1", ConnectionID: "c", Listener: "PLAINTEXT", Principal: "User:ANONYMOUS"})
	return f
}

// runChannel runs a channel with one processor until the test ends.
func runChannel(t testing.TB, url string, change func(*rc.ChannelConfig), sink rc.Sink) *rc.Channel {
	t.Helper()
	return runChannelOn(t, connect(t, url), connect(t, url), change, sink)
}

func runChannelOn(t testing.TB, nc, large *nats.Conn, change func(*rc.ChannelConfig), sink rc.Sink) *rc.Channel {
	t.Helper()
	cfg := rc.ChannelConfig{
		Subjects: subjects, FrontEnd: "fe1", QueuedMaxRequests: 500, Budget: memory.NewBudget(256 << 20), ParkedMaxBytes: 1 << 20,
		ResponseMaxBytes: 256 << 20, RequestTimeout: 10 * time.Second, ProbeInterval: 25 * time.Millisecond, Now: now,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := rc.NewChannel(cfg, nc, large, sink, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddProcessor(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// offer submits a frame on a connection of its own, to the service's route.
func (f *frontEnd) offer(service string, broker int32, frame []byte) (token uint64, ok bool) {
	f.token++
	call := rc.Call{Route: f.Route(service), Token: f.token, Client: uint32(f.token), APIKey: -1, Broker: broker, Origin: f.origin, Frame: frame, Received: now()}
	ok = f.Submit(&call)
	f.Flush(0)
	return f.token, ok
}

func (f *frontEnd) send(t testing.TB, service string, broker int32, frame []byte) uint64 {
	t.Helper()
	token, ok := f.offer(service, broker, frame)
	if !ok {
		t.Fatal("refused")
	}
	return token
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func (f *frontEnd) answer(t testing.TB, token uint64) rc.Outcome {
	t.Helper()
	eventually(t, "an outcome", func() bool { return len(f.of(token)) > 0 })
	return f.of(token)[0]
}

type instance struct {
	*handler.Server
	nc    *nats.Conn
	taken atomic.Int64
	stop  func()
}

// newInstance starts a handler instance whose requests go to serve.
func newInstance(t testing.TB, url, service string, change func(*rc.ServerConfig), serve func(*instance, *rc.Incoming)) *instance {
	t.Helper()
	cfg := rc.ServerConfig{Subjects: subjects, Service: service, Release: "0.0.1", Window: 32, DrainTimeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	i := &instance{nc: connect(t, url)}
	s, err := handler.NewRawServer(cfg, func(in *rc.Incoming) { i.taken.Add(1); serve(i, in) }, i.nc, connect(t, url), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	i.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	i.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(i.stop)
	return i
}

func echo(_ *instance, in *rc.Incoming) {
	in.Send(rc.Answer{Append: func(b []byte) []byte { return append(b, in.Frame...) }})
}

func TestEveryFrameComesBackOnce(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	for range 3 {
		newInstance(t, url, "echo", nil, echo)
	}
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.QueuedMaxRequests = 100000 })
	const n = 5000
	for i := range n {
		f.send(t, "echo", 0, binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	for i := range n {
		if o := f.answer(t, uint64(i+1)); binary.BigEndian.Uint64(o.Frame) != uint64(i) || o.Kind != rc.Send {
			t.Fatalf("connection %d got %x", i, o.Frame)
		}
	}
	for i := range n {
		if got := f.of(uint64(i + 1)); len(got) != 1 {
			t.Fatalf("%d outcomes on connection %d", len(got), i)
		}
	}
	if f.InFlight() != 0 {
		t.Fatal("requests left", f.InFlight())
	}
}

// Frames of every size around the parts' borders arrive whole, both ways.
func TestLargeFramesTravelInParts(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	newInstance(t, url, "echo", nil, echo)
	f := newFrontEnd(t, url, nil)
	for _, n := range []int{rc.LargeFrame, rc.LargeFrame + 1, rc.PartSize - 1, rc.PartSize, rc.PartSize + 1, 3 * rc.PartSize, 20<<20 + 7} {
		frame := make([]byte, n)
		for i := range frame {
			frame[i] = byte(i * 7 >> 3)
		}
		o := f.answer(t, f.send(t, "echo", 0, frame))
		if string(o.Frame) != string(frame) {
			t.Fatalf("%d bytes came back as %d, or changed", n, len(o.Frame))
		}
	}
}

// A request that no handler answers waits for one, and is answered when it comes.
func TestRequestsWaitForAHandler(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	f := newFrontEnd(t, url, nil)
	token := f.send(t, "late", 0, []byte("x"))
	newInstance(t, url, "late", nil, echo)
	if o := f.answer(t, token); string(o.Frame) != "x" {
		t.Fatalf("%+v", o)
	}
}

func TestDeadlineClosesTheConnection(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.RequestTimeout = 150 * time.Millisecond })
	cancelled := make(chan struct{})
	newInstance(t, url, "mute", nil, func(_ *instance, in *rc.Incoming) { <-in.Done(); close(cancelled) })
	if o := f.answer(t, f.send(t, "mute", 0, []byte("x"))); o.Kind != rc.CloseConnection || o.Reason != rc.ClosedByDeadline {
		t.Fatalf("%+v", o)
	}
	<-cancelled
}

// The window closes: no more than it is ever in the handler, the rest waits in
// the route's queue, and what does not fit there is refused and resumed.
func TestWindowAndQueueBounds(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	release := make(chan struct{})
	i := newInstance(t, url, "slow", func(c *rc.ServerConfig) { c.Window = 4 }, func(i *instance, in *rc.Incoming) { <-release; echo(i, in) })
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.QueuedMaxRequests = 10 })
	for range 4 {
		f.send(t, "slow", 0, []byte("x"))
	}
	eventually(t, "the window is full", func() bool { return i.taken.Load() == 4 })
	for range 10 {
		f.send(t, "slow", 0, []byte("x"))
	}
	if _, ok := f.offer("slow", 0, []byte("x")); ok {
		t.Fatal("an eleventh request was queued")
	}
	if i.taken.Load() != 4 {
		t.Fatalf("%d requests beyond a window of 4", i.taken.Load())
	}
	close(release)
	eventually(t, "the processor is resumed", func() bool { return f.resumed.Load() > 0 })
	for token := uint64(1); token <= 14; token++ {
		f.answer(t, token)
	}
}

// Parked requests do not count against the window.
func TestParkedRequestsLeaveTheWindow(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	wake := make(chan struct{})
	i := newInstance(t, url, "poll", func(c *rc.ServerConfig) { c.Window = 2 }, func(i *instance, in *rc.Incoming) {
		if string(in.Frame) == "wait" {
			in.Park(10 * time.Second)
			select {
			case <-wake:
			case <-in.Done():
			}
		}
		echo(i, in)
	})
	f := newFrontEnd(t, url, nil)
	for range 100 {
		f.send(t, "poll", 0, []byte("wait"))
	}
	eventually(t, "all polls are parked", func() bool { return i.taken.Load() == 100 })
	if o := f.answer(t, f.send(t, "poll", 0, []byte("now"))); string(o.Frame) != "now" {
		t.Fatalf("%+v", o)
	}
	close(wake)
	for token := uint64(1); token <= 100; token++ {
		f.answer(t, token)
	}
}

// A handler is served for longer than an announcement lives: requests carry the
// numbers of its newest announcements.
func TestRequestsStayFreshOverTime(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	newInstance(t, url, "echo", nil, echo)
	f := newFrontEnd(t, url, nil)
	for end := time.Now().Add(rc.AnnouncementTimeout + 2*rc.AnnouncementInterval); time.Now().Before(end); {
		begun := time.Now()
		if o := f.answer(t, f.send(t, "echo", 0, []byte("x"))); o.Kind != rc.Send {
			t.Fatalf("%+v", o)
		}
		if took := time.Since(begun); took > rc.AnnouncementInterval/2 {
			t.Fatalf("a request waited %s for a healthy handler", took)
		}
	}
}

// A connection that goes away ends its long poll in the handler.
func TestDisconnectCancelsALongPoll(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	ended := make(chan error, 1)
	i := newInstance(t, url, "poll", nil, func(_ *instance, in *rc.Incoming) {
		in.Park(time.Minute)
		<-in.Done()
		ended <- in.Err()
	})
	f := newFrontEnd(t, url, nil)
	token := f.send(t, "poll", 0, []byte("wait"))
	eventually(t, "it is parked", func() bool { return i.taken.Load() == 1 })
	f.Disconnected(0, token, false)
	if err := <-ended; err != context.Canceled {
		t.Fatal(err)
	}
	eventually(t, "nothing is left", func() bool { return f.InFlight() == 0 })
	if len(f.of(token)) != 0 {
		t.Fatal("an outcome for a connection that is gone")
	}
}

// A front end that drains has its long polls answered.
func TestEndLongPolls(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	i := newInstance(t, url, "poll", nil, func(i *instance, in *rc.Incoming) {
		in.Park(time.Minute)
		<-in.Done()
		echo(i, in)
	})
	f := newFrontEnd(t, url, nil)
	before := f.send(t, "poll", 0, []byte("before"))
	eventually(t, "it is parked", func() bool { return i.taken.Load() == 1 })
	f.EndLongPolls()
	if o := f.answer(t, before); string(o.Frame) != "before" {
		t.Fatalf("%+v", o)
	}
	if o := f.answer(t, f.send(t, "poll", 0, []byte("after"))); string(o.Frame) != "after" {
		t.Fatalf("%+v", o)
	}
}

// A handler whose connection dies is found out by the probe; what it had goes to
// another, marked as redelivered.
func TestDeadHandlersRequestsAreRedelivered(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	hold := func(_ *instance, in *rc.Incoming) { <-in.Done() }
	victim := newInstance(t, url, "work", func(c *rc.ServerConfig) { c.DrainTimeout = 50 * time.Millisecond }, hold)
	f := newFrontEnd(t, url, nil)
	for range 20 {
		f.send(t, "work", 0, []byte("x"))
	}
	eventually(t, "the victim has them", func() bool { return victim.taken.Load() == 20 })
	var redelivered atomic.Int64
	newInstance(t, url, "work", nil, func(i *instance, in *rc.Incoming) {
		if in.Redelivered {
			redelivered.Add(1)
		}
		echo(i, in)
	})
	victim.nc.Close()
	for token := uint64(1); token <= 20; token++ {
		if o := f.answer(t, token); string(o.Frame) != "x" {
			t.Fatalf("%+v", o)
		}
	}
	if redelivered.Load() != 20 {
		t.Fatalf("%d of 20 marked as redelivered", redelivered.Load())
	}
}

// A long poll whose frame is no longer kept cannot be given to another when its
// handler dies: its connection closes.
func TestParkedFramesAboveTheBudgetAreLetGo(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	victim := newInstance(t, url, "poll", func(c *rc.ServerConfig) { c.DrainTimeout = 50 * time.Millisecond }, func(_ *instance, in *rc.Incoming) {
		in.Park(time.Minute)
		<-in.Done()
	})
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.ParkedMaxBytes = 3 })
	kept := f.send(t, "poll", 0, []byte("one"))
	eventually(t, "the first is parked", func() bool { return victim.taken.Load() == 1 })
	letGo := f.send(t, "poll", 0, []byte("two"))
	eventually(t, "both are parked", func() bool { return victim.taken.Load() == 2 })
	newInstance(t, url, "poll", nil, echo)
	victim.nc.Close()
	if o := f.answer(t, kept); string(o.Frame) != "one" {
		t.Fatalf("%+v", o)
	}
	if o := f.answer(t, letGo); o.Kind != rc.CloseConnection || o.Reason != rc.ClosedFrameLetGo {
		t.Fatalf("%+v", o)
	}
}

// What a handler has in hand when it loses NATS is given to others: it knows
// when it is back. What comes then is its own.
func TestOvertakenAfterAReconnect(t *testing.T) {
	s := natsServer(t, -1)
	url := s.ClientURL()
	var mu sync.Mutex
	var taken []*rc.Incoming
	i := newInstance(t, url, "work", nil, func(i *instance, in *rc.Incoming) {
		if in.Overtaken() {
			t.Error("overtaken at once")
		}
		mu.Lock()
		taken = append(taken, in)
		first := len(taken) == 1
		mu.Unlock()
		if first {
			<-in.Done()
			return
		}
		echo(i, in)
	})
	f := newFrontEnd(t, url, nil)
	token := f.send(t, "work", 0, []byte("x"))
	eventually(t, "it has the request", func() bool { return i.taken.Load() == 1 })
	var port int
	if _, err := fmt.Sscan(s.Addr().String()[len("127.0.0.1:"):], &port); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.WaitForShutdown()
	natsServer(t, port)
	if o := f.answer(t, token); string(o.Frame) != "x" {
		t.Fatalf("%+v", o)
	}
	mu.Lock()
	defer mu.Unlock()
	if !taken[0].Overtaken() || !rc.Overtaken(taken[0]) {
		t.Error("the first does not know that it was given away")
	}
	if !taken[len(taken)-1].Redelivered {
		t.Error("the last is not marked as redelivered")
	}
}

// A handler that stops hands everything over: nothing is redelivered, because
// nothing was lost.
func TestDrainLosesNothing(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	var redelivered atomic.Int64
	serve := func(i *instance, in *rc.Incoming) {
		if in.Redelivered {
			redelivered.Add(1)
		}
		time.Sleep(200 * time.Microsecond) // work
		echo(i, in)
	}
	old := newInstance(t, url, "work", nil, serve)
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.QueuedMaxRequests = 100000 })
	eventually(t, "the first answer", func() bool { return len(f.of(f.send(t, "work", 0, []byte("x")))) > 0 || f.token > 50 })
	newInstance(t, url, "work", nil, serve)
	stopped := make(chan struct{})
	for n := range 2000 {
		f.send(t, "work", 0, []byte("x"))
		if n == 1000 {
			go func() { old.stop(); close(stopped) }()
		}
		if n%20 == 0 {
			time.Sleep(time.Millisecond) // spreads the load over the drain
		}
	}
	<-stopped
	for token := uint64(1); token <= f.token; token++ {
		if o := f.answer(t, token); o.Kind != rc.Send {
			t.Fatalf("%+v", o)
		}
	}
	if redelivered.Load() != 0 {
		t.Fatalf("%d requests redelivered by an orderly stop", redelivered.Load())
	}
}

// With affinity a broker's requests go to one instance, and a redirect takes a
// connection's request to the instance named; after two the request must be served.
func TestAffinityRedirectAndMustServe(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	byBroker := func(c *rc.ServerConfig) { c.Affinity = rc.AffinityByBroker }
	var mu sync.Mutex
	seen := map[int32]map[string]bool{}
	var all []*instance
	serve := func(i *instance, in *rc.Incoming) {
		if string(in.Frame) == "bounce" && !in.MustServe {
			for _, other := range all {
				if other != i {
					in.Redirect(other.ID())
					return
				}
			}
		}
		mu.Lock()
		if seen[in.Broker] == nil {
			seen[in.Broker] = map[string]bool{}
		}
		seen[in.Broker][i.ID()] = true
		mu.Unlock()
		in.Send(rc.Answer{Append: func(b []byte) []byte { return append(b, byte(in.Redirects)) }})
	}
	mu.Lock()
	for range 3 {
		all = append(all, newInstance(t, url, "held", byBroker, serve))
	}
	mu.Unlock()
	f := newFrontEnd(t, url, nil)
	eventually(t, "all instances are seen by all", func() bool {
		for _, i := range all {
			if len(i.View().Handlers()) != 3 {
				return false
			}
		}
		return len(f.View().Handlers()) == 3
	})
	for n := range 300 {
		f.send(t, "held", int32(n%10), []byte("x"))
	}
	for token := uint64(1); token <= 300; token++ {
		f.answer(t, token)
	}
	mu.Lock()
	for broker, instances := range seen {
		if len(instances) != 1 {
			t.Errorf("broker %d was served by %d instances", broker, len(instances))
		}
	}
	mu.Unlock()
	if o := f.answer(t, f.send(t, "held", 1, []byte("bounce"))); o.Frame[0] != 2 {
		t.Fatalf("served after %d redirects, want 2", o.Frame[0])
	}
}

// While NATS is away requests wait; afterwards they are answered.
func TestRequestsOutliveARestartOfNATS(t *testing.T) {
	s := natsServer(t, -1)
	url := s.ClientURL()
	newInstance(t, url, "echo", nil, echo)
	f := newFrontEnd(t, url, nil)
	f.answer(t, f.send(t, "echo", 0, []byte("before")))
	port := s.Addr().String()[len("127.0.0.1:"):]
	s.Shutdown()
	s.WaitForShutdown()
	token := f.send(t, "echo", 0, []byte("while away"))
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	natsServer(t, n)
	if o := f.answer(t, token); string(o.Frame) != "while away" {
		t.Fatalf("%+v", o)
	}
	f.answer(t, f.send(t, "echo", 0, []byte("after")))
}

// The versions that clients are told are what all instances of a service
// answer, and do not shrink when one goes away.
func TestVersionsFollowTheAnnouncements(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	apis := func(newest int16) func(*rc.ServerConfig) {
		return func(c *rc.ServerConfig) { c.APIs = protocol.Ranges{protocol.Fetch: {Min: 4, Max: newest}} }
	}
	saved := make(chan protocol.Ranges, 16)
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) {
		c.Known = map[string]protocol.Ranges{"metadata": {protocol.Metadata: {Min: 0, Max: 13}}}
		c.OnVersions = func(_ string, r protocol.Ranges) { saved <- r }
	})
	newer := newInstance(t, url, "records", apis(18), echo)
	eventually(t, "the newer versions", func() bool { return f.Versions()[protocol.Fetch].Max == 18 })
	older := newInstance(t, url, "records", apis(17), echo)
	eventually(t, "what both answer", func() bool { return f.Versions()[protocol.Fetch].Max == 17 })
	newer.stop()
	older.stop()
	eventually(t, "nobody is left", func() bool { _, ok := f.View().Holder("records", 1); return !ok })
	if v := f.Versions(); v[protocol.Fetch].Max != 17 || v[protocol.Metadata].Max != 13 {
		t.Fatal("the table shrank", v)
	}
	if r := <-saved; r[protocol.Fetch].Max != 18 {
		t.Fatal(r)
	}
}

// BenchmarkEcho is a round trip through the channel: publish, handle, answer,
// with a window of requests under way.
func BenchmarkEcho(b *testing.B) {
	url := natsServer(b, -1).ClientURL()
	newInstance(b, url, "echo", func(c *rc.ServerConfig) { c.Window = 256 }, echo)
	for _, window := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			sink := windowSink(make(chan int, 1024))
			ch := runChannel(b, url, func(c *rc.ChannelConfig) { c.FrontEnd = fmt.Sprintf("bench%d", window) }, sink)
			closedLoop(b, ch, sink, window)
		})
	}
}

// closedLoop keeps a window of requests under way.
func closedLoop(b *testing.B, ch *rc.Channel, sink windowSink, window int) {
	call := rc.Call{Route: ch.Route("echo"), APIKey: -1, Origin: rc.AppendOrigin(nil, rc.Origin{FrontEnd: "fe"}), Frame: make([]byte, 100)}
	b.ReportAllocs()
	b.ResetTimer()
	for sent, got := 0, 0; got < b.N; {
		for sent < b.N && sent-got < window {
			call.Token++
			call.Received = now()
			if !ch.Submit(&call) {
				b.Fatal("refused")
			}
			sent++
		}
		ch.Flush(0)
		got += <-sink
	}
}

// windowSink counts what arrives.
type windowSink chan int

func (s windowSink) Deliver(_ int, batch []rc.Outcome) {
	for i := range batch {
		batch[i].Pending.Done(rc.Sent, now(), 0)
	}
	s <- len(batch)
}

func (s windowSink) Resume(int) {}
