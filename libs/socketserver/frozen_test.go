package socketserver_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// freezer is a request channel that answers at once, but for a request of body "freeze", which stops its loop.
type freezer struct {
	processors
	frozen chan int // which processor
	thaw   chan struct{}
}

func newFreezer() *freezer { return &freezer{frozen: make(chan int, 1), thaw: make(chan struct{})} }

func (f *freezer) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	if bytes.HasSuffix(r.Frame, []byte("freeze")) {
		f.frozen <- r.Conn.Processor
		<-f.thaw
	}
	f.processor(r.Conn.Processor).Deliver([]socketserver.Response{{Token: r.Conn.Token, Frame: answerFrame(r.Header.CorrelationID, nil)}})
	return true, network.ReasonNone
}

func (f *freezer) Flush(int)                      {}
func (f *freezer) Disconnected(int, uint64, bool) {}

// freeze stops the loop that gets the next connection.
func freeze(t *testing.T, f *fixture, rc *freezer) (client, int) {
	t.Helper()
	c := f.dial(t)
	c.send(request(0, []byte("freeze")...))
	select {
	case processor := <-rc.frozen:
		return c, processor
	case <-time.After(patience):
		t.Fatal("no loop was stopped")
		return c, 0
	}
}

func startFreezing(t *testing.T, l socketserver.ListenerConfig) (*fixture, *freezer, func()) {
	rc := newFreezer()
	f := startWith(t, rc, []socketserver.ListenerConfig{l})
	thaw := sync.OnceFunc(func() { close(rc.thaw) })
	t.Cleanup(thaw) // before the server is closed
	return f, rc, thaw
}

// ask has so many clients send a request each, numbered from 1.
func ask(t *testing.T, f *fixture, n int32) (clients []client) {
	for i := range n {
		c := f.dial(t)
		c.send(request(i + 1))
		clients = append(clients, c)
	}
	return clients
}

// C5, C6: twenty connections wait for a frozen processor, and the others go to one that is not; when it thaws, those
// that waited are served as well.
func TestFrozenProcessorHoldsUpTwenty(t *testing.T) {
	f, rc, thaw := startFreezing(t, socketserver.ListenerConfig{Processors: 2})
	stuck, frozen := freeze(t, f, rc)
	clients := ask(t, f, 100)
	eventually(t, "all are accepted", func() bool { return f.metric(t, "kanal_connections_accepted_total") == 101 })
	if n := f.server.Processors()[frozen].Open(); n != 21 {
		t.Errorf("the frozen processor has %d connections, want 21", n)
	}
	eventually(t, "the others are answered", func() bool { return f.metric(t, "kanal_processor_responses_total") == 80 })
	thaw()
	stuck.wantAnswer(0)
	for i, c := range clients {
		c.wantAnswer(int32(i) + 1)
	}
}

// C5, C7, W15: an acceptor that waits for a frozen processor goes on with the first that has room, a new one included,
// and the time is counted while it waits.
func TestAcceptorThatWaitsTakesANewProcessor(t *testing.T) {
	f, rc, thaw := startFreezing(t, socketserver.ListenerConfig{Processors: 1})
	stuck, _ := freeze(t, f, rc)
	clients := ask(t, f, 22)
	blocked := func() float64 { return f.metric(t, "kanal_acceptor_blocked_seconds_total") }
	eventually(t, "the acceptor waits", func() bool { return blocked() > 0 })
	f.resize(t, 2)
	clients[20].wantAnswer(21)
	clients[21].wantAnswer(22)
	stopped := blocked()
	time.Sleep(quiet)
	if now := blocked(); now != stopped {
		t.Errorf("blocked for %v s, and %v s later", stopped, now-stopped)
	}
	thaw()
	stuck.wantAnswer(0)
	for i, c := range clients[:20] {
		c.wantAnswer(int32(i) + 1)
	}
}

// W3, C11, KAFKA-16768: a frozen processor that retires hands on what waited for it when it thaws.
func TestFrozenProcessorRetires(t *testing.T) {
	f, rc, thaw := startFreezing(t, socketserver.ListenerConfig{Processors: 2})
	f.dial(t) // on processor 0
	stuck, frozen := freeze(t, f, rc)
	if frozen != 1 {
		t.Fatalf("processor %d is frozen", frozen)
	}
	clients := ask(t, f, 20)
	eventually(t, "ten wait", func() bool { return f.server.Processors()[1].Open() == 11 })
	f.resize(t, 1)
	f.wantProcessorsNotBelow(t, 2)
	thaw()
	stuck.wantAnswer(0)
	for i, c := range clients {
		c.wantAnswer(int32(i) + 1)
	}
	f.wantProcessors(t, 1)
	if rc.living() != 1 || f.server.Processors()[0].Open() != 22 {
		t.Errorf("%d processors, %d connections", rc.living(), f.server.Processors()[0].Open())
	}
}

// 5.2 #11: what waits in the kernel is shown, with its limit; a full queue is warned of once in a while, and what it
// drops is counted.
func TestAcceptQueueIsShown(t *testing.T) {
	f, rc, thaw := startFreezing(t, socketserver.ListenerConfig{Processors: 1, Backlog: 8})
	freeze(t, f, rc)
	if got := f.metric(t, "kanal_accept_queue_limit", "TEST"); got != 8 {
		t.Fatalf("a limit of %v", got)
	}
	for range 20 + 1 + 5 { // the processor's queue, the acceptor's hand, the kernel's queue
		f.dial(t)
	}
	eventually(t, "five wait", func() bool { return f.metric(t, "kanal_accept_queue_length", "TEST") == 5 })
	const full = `msg="the accept queue is full: the kernel drops new connections"`
	if f.log.has(full) {
		t.Fatal("a warning of five")
	}
	for range 4 {
		f.dial(t)
	}
	eventually(t, "the queue is full", func() bool { return f.metric(t, "kanal_accept_queue_length", "TEST") >= 8 })
	if !f.log.has("level=WARN", full, "listener=TEST") {
		t.Error("no warning")
	}
	overflows := f.metric(t, "kanal_accept_queue_overflows_total")
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_ = unix.Connect(fd, &unix.SockaddrInet4{Port: f.server.Addr("TEST", 0).(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}})
	eventually(t, "the overflow is counted", func() bool { return f.metric(t, "kanal_accept_queue_overflows_total") > overflows })
	if f.metric(t, "kanal_accept_queue_drops_total") == 0 || f.log.count(full) != 1 {
		t.Errorf("%d warnings", f.log.count(full))
	}
	thaw()
	eventually(t, "the queue is empty", func() bool { return f.metric(t, "kanal_accept_queue_length", "TEST") == 0 })
}

// A backlog above what the kernel allows is told with the name of the limit.
func TestBacklogAboveTheKernels(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Backlog: 1 << 30})
	if !f.log.has("level=WARN", "net.core.somaxconn", "configured=1073741824", "listener=TEST") {
		t.Error("no warning")
	}
	f = start(t, socketserver.ListenerConfig{Backlog: 10})
	if f.log.has("net.core.somaxconn") {
		t.Error("a warning of a backlog of 10")
	}
}
