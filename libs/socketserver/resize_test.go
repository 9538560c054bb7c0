package socketserver_test

import (
	"fmt"
	"iter"
	"net"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

func (f *fixture) resize(t testing.TB, n int) {
	t.Helper()
	if err := f.server.Resize("TEST", n); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) wantProcessors(t testing.TB, n int) {
	t.Helper()
	eventually(t, fmt.Sprint("there are ", n, " processors"), func() bool { return len(f.server.Processors()) == n })
	if f.handlers != nil && f.living() != n {
		t.Fatalf("the request channel knows %d processors, want %d", f.living(), n)
	}
}

// W3, 5.4 #34: any step; what was open stays where it was, new processors get their share of what comes.
func TestGrowingGivesNewProcessorsNewConnections(t *testing.T) {
	f := start(t)
	old := f.dial(t)
	old.send(request(1))
	f.answer(f.next(t), 1)
	old.wantAnswer(1)
	f.resize(t, 5)
	f.wantProcessors(t, 5)
	seen := map[int]bool{}
	for i := range int32(10) {
		c := f.dial(t)
		c.send(request(i))
		r := f.next(t)
		seen[r.processor] = true
		f.answer(r)
		c.wantAnswer(i)
	}
	if len(seen) != 5 {
		t.Fatalf("ten connections are on processors %v", seen)
	}
	old.send(request(2))
	if r := f.next(t); r.processor != 0 {
		t.Fatalf("an open connection went to processor %d", r.processor)
	}
}

// W3, 5.2 #12: quiet connections move at once and those with a request under way after their answer; none is closed,
// and each keeps its id. When the last has gone, nothing of the processor is left (W9).
func TestShrinkingMovesConnections(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 3})
	var clients []client
	ids := map[int32]string{}
	var open []held
	for i := range int32(9) {
		c := f.dial(t)
		c.send(request(i))
		r := f.next(t)
		ids[i] = r.conn.ID
		if i < 6 {
			f.answer(r)
			c.wantAnswer(i)
		} else {
			open = append(open, r)
		}
		clients = append(clients, c)
	}
	f.resize(t, 1)
	eventually(t, "the quiet connections have moved", func() bool {
		return f.processor(0).Open() == 7 && f.processor(1).Open() == 1 && f.processor(2).Open() == 1
	})
	f.wantProcessorsNotBelow(t, 3)
	for _, r := range open {
		f.answer(r)
	}
	f.wantProcessors(t, 1)
	for i, c := range clients {
		if i >= 6 {
			c.wantAnswer(int32(i))
		}
		c.send(request(int32(i)))
		r := f.next(t)
		if r.processor != 0 || r.conn.ID != ids[int32(i)] {
			t.Fatalf("connection %d is on processor %d as %s, was %s", i, r.processor, r.conn.ID, ids[int32(i)])
		}
		f.answer(r)
		c.wantAnswer(int32(i))
	}
	if n := f.metric(t, "kanal_connections", "TEST"); n != 9 {
		t.Fatalf("%v connections are counted, want 9", n)
	}
	for _, id := range []string{"1", "2"} {
		if n := f.seriesWith(t, "processor", id); n != 0 {
			t.Fatalf("%d series of processor %s are left", n, id)
		}
	}
}

// wantProcessorsNotBelow watches that processors do not end.
func (f *fixture) wantProcessorsNotBelow(t testing.TB, n int) {
	t.Helper()
	time.Sleep(quiet)
	if got := len(f.server.Processors()); got < n {
		t.Fatalf("%d processors are left, want %d", got, n)
	}
}

// seriesWith counts the time series with a label.
func (f *fixture) seriesWith(t testing.TB, label, value string) (n int) {
	t.Helper()
	for range f.labelled(t, label, value) {
		n++
	}
	return n
}

// labelled gives the time series with a label.
func (f *fixture) labelled(t testing.TB, label, value string) iter.Seq[*dto.Metric] {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*dto.Metric) bool) {
		for _, family := range families {
			for _, m := range family.GetMetric() {
				has := slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == label && l.GetValue() == value })
				if has && !yield(m) {
					return
				}
			}
		}
	}
}

// What has arrived moves along: half a frame, and whole frames behind the one under way.
func TestMovingCarriesWhatHasArrived(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 2})
	f.dial(t) // on processor 0
	half, full := f.dial(t), f.dial(t)
	_ = full
	b := request(7, make([]byte, 1000)...)
	half.send(b[:500])
	eventually(t, "half a frame has arrived", func() bool { return f.metric(t, "kanal_processor_received_bytes_total", "1") == 500 })
	f.resize(t, 1)
	f.wantProcessors(t, 1)
	half.send(b[500:])
	r := f.next(t)
	if r.correlation != 7 || len(r.frame) != len(b)-4 || r.processor != 0 {
		t.Fatalf("request %d of %d bytes on processor %d", r.correlation, len(r.frame), r.processor)
	}
	f.answer(r)
	half.wantAnswer(7)
}

func TestPipelinedRequestsMoveBetweenTwoAnswers(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 2})
	f.dial(t)
	c := f.dial(t)
	c.send(requests(1, 20))
	first := f.next(t)
	if first.processor != 1 {
		t.Fatalf("on processor %d", first.processor)
	}
	f.resize(t, 1)
	f.answer(first)
	c.wantAnswer(1)
	for i := int32(2); i <= 20; i++ {
		r := f.next(t)
		if r.processor != 0 || r.correlation != i {
			t.Fatalf("request %d on processor %d, want %d on 0", r.correlation, r.processor, i)
		}
		f.answer(r)
		c.wantAnswer(i)
	}
	f.wantProcessors(t, 1)
}

// A throttled connection is not quiet: it moves when the throttle is over, and its next request waits that long (G2).
func TestThrottledConnectionMovesAfterItsThrottle(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 2})
	f.dial(t)
	c := f.dial(t)
	c.send(requests(1, 2))
	r := f.next(t)
	const throttle = 100 * time.Millisecond
	begin := time.Now()
	f.respond(r, socketserver.Response{Frame: answerFrame(1, nil), Throttle: throttle})
	c.wantAnswer(1)
	f.resize(t, 1)
	if r = f.next(t); r.processor != 0 || time.Since(begin) < throttle {
		t.Fatalf("request %d on processor %d after %s", r.correlation, r.processor, time.Since(begin))
	}
	f.answer(r)
	c.wantAnswer(2)
	f.wantProcessors(t, 1)
}

// W3, KAFKA-16768: what waits for a processor that retires goes to another.
func TestSocketsInARetiringQueueAreHandedOn(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 2})
	for range 50 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.server.Resize("TEST", 1)
			f.server.Resize("TEST", 2)
		}()
		for i := range int32(4) {
			c := f.dial(t)
			c.send(request(i))
			f.answer(f.next(t))
			c.wantAnswer(i)
			c.Close()
		}
		<-done
	}
	eventually(t, "all slots are given back", func() bool { return f.metric(t, "kanal_connections", "TEST") == 0 })
	f.wantProcessors(t, 2)
}

func TestResizeRefusesWhatCannotBe(t *testing.T) {
	f := start(t)
	for name, n := range map[string]int{"TEST": 0, "OTHER": 2} {
		if err := f.server.Resize(name, n); err == nil {
			t.Errorf("%s has %d processors", name, n)
		}
	}
	f.server.Close()
	if err := f.server.Resize("TEST", 2); err != socketserver.ErrClosed {
		t.Error(err)
	}
}

// W7, W8, W9: a name may come back with other settings; requests under way are answered before their connections close.
func TestListenersComeAndGo(t *testing.T) {
	f := start(t)
	for round := range 3 {
		l := socketserver.ListenerConfig{Name: "MORE", Host: "127.0.0.1", Processors: 1 + round, MaxRequestSize: 100 * (1 + round)}
		if err := f.server.AddListener(l); err != nil {
			t.Fatal(err)
		}
		if f.server.AddListener(l) == nil {
			t.Fatal("added twice")
		}
		addr := f.server.Addr("MORE", 0)
		c, busy := dial(t, addr), dial(t, addr)
		c.send(request(1))
		f.answer(f.next(t))
		c.wantAnswer(1)
		busy.send(request(2))
		under := f.next(t)
		removed := make(chan error)
		go func() { removed <- f.server.RemoveListener("MORE") }()
		c.wantEnd(false)
		if _, err := net.Dial("tcp", addr.String()); err == nil {
			t.Fatal("the port is open")
		}
		f.answer(under)
		busy.wantAnswer(2)
		busy.wantEnd(false)
		if err := <-removed; err != nil {
			t.Fatal(err)
		}
		f.closedFor(t, network.ReasonListenerRemoved, float64(2*(round+1)))
		f.wantProcessors(t, 1)
		if f.server.Addr("MORE", 0) != nil || f.hasGauge(t, "MORE") {
			t.Fatal("something of the listener is left")
		}
	}
	c := f.dial(t)
	c.send(request(1))
	f.answer(f.next(t))
	c.wantAnswer(1)
}

// hasGauge tells whether a gauge of a listener is there (W9).
func (f *fixture) hasGauge(t testing.TB, listener string) bool {
	t.Helper()
	for m := range f.labelled(t, "listener", listener) {
		if m.Gauge != nil {
			return true
		}
	}
	return false
}

func TestListenerThatCannotBindLeavesNothing(t *testing.T) {
	f := start(t)
	taken := f.server.Addr("TEST", 0).(*net.TCPAddr).Port
	before := openDescriptors(t)
	for range 3 {
		if err := f.server.AddListener(socketserver.ListenerConfig{Name: "MORE", Host: "127.0.0.1", Port: taken, Processors: 3}); err == nil {
			t.Fatal("two listeners on one port")
		}
		f.wantProcessors(t, 1)
		if f.server.Addr("MORE", 0) != nil || f.hasGauge(t, "MORE") {
			t.Fatal("something of the listener is left")
		}
	}
	eventually(t, "descriptors are given back", func() bool { return openDescriptors(t) <= before })
	if err := f.server.RemoveListener("MORE"); err == nil {
		t.Fatal("removed what is not there")
	}
}
