package socketserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// Rows B1, B4: the port opens with Start, not before, and once.
func TestStartOnce(t *testing.T) {
	free := freePort(t)
	f := prepare(t, socketserver.ListenerConfig{Port: free})
	if f.server.Addr("TEST", 0) != nil {
		t.Error("there is an address before Start")
	}
	if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(free))); err == nil {
		conn.Close()
		t.Error("the port is open before Start")
	}
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	if got := f.server.Addr("TEST", 0).(*net.TCPAddr).Port; got != free {
		t.Errorf("port %d, want %d", got, free)
	}
	if err := f.server.Start(); !errors.Is(err, socketserver.ErrStarted) {
		t.Errorf("second Start: %v", err)
	}
	if f.server.Addr("OTHER", 0) != nil || f.server.Addr("TEST", 2) != nil {
		t.Error("there are addresses of nothing") // C12
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestStopMoreThanOnce(t *testing.T) {
	f := start(t)
	f.server.StopAccepting()
	f.server.StopAccepting()
	drain(t, f.server)
	drain(t, f.server)
	for range 2 {
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
	}
	drain(t, f.server)
	f.server.StopAccepting()
	if err := f.server.Start(); !errors.Is(err, socketserver.ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}

// testServerShutdownWithoutEnable: what was never started is closed all the same; the fixture counts descriptors.
func TestCloseWithoutStart(t *testing.T) {
	f := prepare(t)
	o := newOutcome()
	f.server.Processors()[0].Deliver([]socketserver.Response{{Token: 1, Completer: o}})
	drain(t, f.server)
	if err := f.server.Close(); err != nil {
		t.Error(err)
	}
	o.want(t, socketserver.Shutdown)
}

// Row B4: a port in use is one clear message, and everything that was begun is undone.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	f := prepare(t, socketserver.ListenerConfig{Name: "FREE"}, socketserver.ListenerConfig{Name: "TAKEN", Port: port, Host: "localhost"})
	err = f.server.Start()
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
	for _, part := range []string{"TAKEN", strconv.Itoa(port), "localhost", "in use"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := f.server.Start(); !errors.Is(err, socketserver.ErrClosed) {
		t.Errorf("second Start: %v", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	_, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{
		{Name: "A", Port: 70000}, {Name: "B", SecurityProtocol: "TLS"}, {Name: "B"}, {Name: "C", Kind: socketserver.KindFrames}, {},
		{Name: "D", Port: 65530, Brokers: 10},
	}}, nil, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	for _, part := range []string{"70000", "TLS", "twice", "needs a handler", "no name", "10 brokers"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}

// localhost is both loopbacks, on one port.
func TestLocalhostIsBothLoopbacks(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Host: "localhost"})
	port := f.server.Addr("TEST", 1).(*net.TCPAddr).Port
	hosts := []string{"127.0.0.1"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "::1")
	}
	for i, host := range hosts {
		c := dial(t, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port))))
		c.send(request(int32(i)))
		r := f.next(t)
		local, remote := c.RemoteAddr().(*net.TCPAddr), c.LocalAddr().(*net.TCPAddr)
		// Row E3, IPv6 without brackets.
		want := fmt.Sprintf("%s:%d-%s:%d-0-%d", local.IP, local.Port, remote.IP, remote.Port, i)
		if r.conn.ID != want || r.conn.ClientAddress != host {
			t.Errorf("connection %s of %s, want %s of %s", r.conn.ID, r.conn.ClientAddress, want, host)
		}
	}
}

func TestEveryAddress(t *testing.T) {
	h := socketserver.ListenerConfig{Name: "ANY", Processors: 1, Host: "0.0.0.0"}
	f := start(t, h)
	c := dial(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: f.server.Addr("ANY", 0).(*net.TCPAddr).Port})
	c.send(request(1))
	if r := f.next(t); !strings.HasPrefix(r.conn.ID, "127.0.0.1:") {
		t.Errorf("connection %s does not say which address the client chose", r.conn.ID)
	}
}

// Several brokers have a port each beside the bootstrap port; the connection knows which it came to.
func TestBrokersHavePorts(t *testing.T) {
	for name, base := range map[string]int{"free ports": 0, "a range of ports": freeRange(t, 4)} {
		t.Run(name, func(t *testing.T) {
			f := start(t, socketserver.ListenerConfig{Brokers: 3, Port: base})
			for broker := int32(0); broker <= 3; broker++ {
				addr := f.server.Addr("TEST", broker)
				if base != 0 && addr.(*net.TCPAddr).Port != base+int(broker) {
					t.Errorf("broker %d is at %v", broker, addr)
				}
				c := dial(t, addr)
				c.send(request(broker))
				if r := f.next(t); r.conn.Broker != broker {
					t.Errorf("a connection to the port of broker %d is for %d", broker, r.conn.Broker)
				}
			}
		})
	}
}

// freeRange looks for n free ports in a row.
func freeRange(t *testing.T, n int) int {
search:
	for base := 21000; base < 60000; base += n {
		for i := range n {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+i)))
			if err != nil {
				continue search
			}
			l.Close()
		}
		return base
	}
	t.Fatal("no range of ports is free")
	return 0
}

// Rows C5, A8: connections go round the processors of their listener; processor ids count over all listeners.
func TestRoundRobin(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 3}, socketserver.ListenerConfig{Name: "SECOND", Processors: 2})
	var clients []client
	for i := range 9 {
		c := f.dial(t)
		c.send(request(int32(i)))
		clients = append(clients, c)
		r := f.next(t)
		if r.processor != i%3 || !strings.HasSuffix(r.conn.ID, fmt.Sprintf("-%d-%d", i%3, i/3)) {
			t.Errorf("connection %d is %s", i, r.conn.ID)
		}
		f.answer(r)
	}
	for i, c := range clients {
		c.wantAnswer(int32(i))
	}
	c := dial(t, f.server.Addr("SECOND", 1))
	c.send(request(100))
	if r := f.next(t); r.processor != 3 || r.conn.Listener != "SECOND" {
		t.Errorf("connection %+v", r.conn)
	}
	for i, p := range f.server.Processors() {
		if p.ID() != i {
			t.Errorf("processor %d is at %d", p.ID(), i)
		}
	}
}

// Rows C1, C3: accepted sockets have their options, the buffers from before the handshake.
func TestAcceptedSocketsHaveTheirOptions(t *testing.T) {
	before := sockets(t)
	const size = 40_000
	f := start(t, socketserver.ListenerConfig{SendBuffer: size, ReceiveBuffer: size + 1000})
	c := f.dial(t)
	c.send(request(1))
	f.next(t)
	found := false
	for fd := range sockets(t) {
		if before[fd] || remotePort(fd) != c.LocalAddr().(*net.TCPAddr).Port {
			continue
		}
		found = true
		noDelay, _ := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
		keepAlive, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		closeOnExec, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		send, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		receive, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		if send != 2*size || receive != 2*(size+1000) { // the kernel doubles, for its own use (socket(7))
			t.Errorf("buffers of %d and %d bytes", send, receive)
		}
		if noDelay == 0 || keepAlive == 0 || flags&unix.O_NONBLOCK == 0 || closeOnExec == 0 {
			t.Errorf("no-delay %d, keep-alive %d, flags %x, close on exec %d", noDelay, keepAlive, flags, closeOnExec)
		}
	}
	if !found {
		t.Fatal("the accepted socket was not found")
	}
}

func sockets(t *testing.T) map[int]bool {
	found := map[int]bool{}
	for fd := range openDescriptors(t) + 64 {
		if _, err := unix.Getpeername(fd); err == nil {
			found[fd] = true
		}
	}
	return found
}

func remotePort(fd int) int {
	peer, err := unix.Getpeername(fd)
	if v4, ok := peer.(*unix.SockaddrInet4); ok && err == nil {
		return v4.Port
	}
	return 0
}

// Rows B6, B8, testSocketsCloseOnShutdown: everything ends, nothing is left, every response has its outcome.
func TestCloseEndsEverything(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 2})
	idle, working, slow := f.dial(t), f.dial(t), f.dial(t)
	slow.send(request(1))
	unsent := f.answer(f.next(t), make([]byte, 24<<20)...)
	working.send(requests(2, 3))
	r := f.next(t)
	addr := f.server.Addr("TEST", 0)
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	unsent.want(t, socketserver.Shutdown)
	f.answer(r).want(t, socketserver.Shutdown)
	idle.wantEnd(true)
	working.wantEnd(true)
	if conn, err := net.Dial("tcp", addr.String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
	for range 3 {
		if g := f.disconnected(t); g.half {
			t.Error("a half close was told")
		}
	}
	f.none(t)
}

// Design section 4, V12: a drained server answers what is in flight, takes nothing more, and then has no connections.
func TestDrain(t *testing.T) {
	f := startDraining(t, time.Nanosecond)
	idle, working, throttled, parked := f.dial(t), f.dial(t), f.dial(t), f.dial(t)
	working.send(requests(1, 3))
	r := f.next(t)
	throttled.send(request(10))
	f.respond(f.next(t), socketserver.Response{Throttle: time.Hour, Frame: answerFrame(10, nil)})
	throttled.wantAnswer(10)
	f.setRoom(0)
	parked.send(requests(20, 21))
	eventually(t, "it is refused", func() bool { return f.timesRefused() == 1 })
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- f.server.Drain(ctx)
	}()
	idle.wantEnd(false)
	throttled.wantEnd(false)
	eventually(t, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", f.server.Addr("TEST", 0).String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	f.setRoom(10)
	for _, p := range f.server.Processors() {
		p.Resume()
	}
	f.answer(f.next(t))
	parked.wantAnswer(20)
	parked.wantEnd(true)
	select {
	case err := <-done:
		t.Fatalf("Drain returned %v with a request in flight", err)
	case <-time.After(quiet):
	}
	f.answer(r).want(t, socketserver.Sent)
	working.wantAnswer(1)
	working.wantEnd(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.none(t)
	f.closedFor(t, network.ReasonShutdown, 4)
}

// startDraining is start with a last call of choice.
func startDraining(t *testing.T, lastCall time.Duration) *fixture {
	t.Helper()
	h := newHandlers()
	f := prepareConfig(t, h, socketserver.Config{LastCall: lastCall, Listeners: []socketserver.ListenerConfig{{Processors: 2}}})
	f.handlers, h.server = h, f.server
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

// Requests that are here when a drain begins are answered, those behind the one under way and those that nobody has read
// yet; then the connection ends.
func TestDrainTakesWhatIsHere(t *testing.T) {
	f := startDraining(t, patience)
	working := f.dial(t)
	working.send(requests(1, 3))
	r := f.next(t)
	done := make(chan error, 1)
	go func() { done <- f.server.Drain(context.Background()) }()
	eventually(t, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", f.server.Addr("TEST", 0).String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	f.answer(r)
	working.wantAnswer(1)
	for id := int32(2); id <= 3; id++ {
		f.answer(f.next(t))
		working.wantAnswer(id)
	}
	working.wantEnd(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// The last call ends: a client that has sent half a request is not waited for.
func TestLastCallEnds(t *testing.T) {
	f := startDraining(t, 50*time.Millisecond)
	half := f.dial(t)
	half.send(requests(1, 2)[:30])
	f.answer(f.next(t))
	half.wantAnswer(1)
	if err := f.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	half.wantEnd(false)
}

// A server takes the sockets that another one listens on: connections that waited there are its own, and those that no
// listener has are closed.
func TestInherit(t *testing.T) {
	before := start(t, socketserver.ListenerConfig{Name: "A"}, socketserver.ListenerConfig{Name: "B"})
	fds, err := before.server.Listening()
	if err != nil || len(fds) != 2 {
		t.Fatal(fds, err)
	}
	a, b := before.server.Addr("A", 0).(*net.TCPAddr), before.server.Addr("B", 0).(*net.TCPAddr)
	after := prepare(t, socketserver.ListenerConfig{Name: "A", Port: a.Port}, socketserver.ListenerConfig{Name: "C"})
	if err := after.server.Inherit(fds); err != nil {
		t.Fatal(err)
	}
	before.server.StopAccepting()
	waiting, err := net.Dial("tcp", a.String()) // nobody accepts, and nobody refuses
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if err := after.server.Start(); err != nil {
		t.Fatal(err)
	}
	if left := after.server.DropInherited(); len(left) != 1 || left[0] != b.String() {
		t.Fatal("left over:", left)
	}
	if _, err := net.Dial("tcp", b.String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal(err)
	}
	if _, err := waiting.Write(request(1)); err != nil {
		t.Fatal(err)
	}
	after.answer(after.next(t))
	if n, err := waiting.Read(make([]byte, 100)); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := after.server.Inherit([]int{0}); err == nil {
		t.Fatal("standard input is a listening socket")
	}
}

// What a handler never answers does not hold a drain beyond its limit.
func TestDrainHasALimit(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(request(1))
	f.next(t)
	ctx, cancel := context.WithTimeout(context.Background(), quiet)
	defer cancel()
	if err := f.server.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Drain: %v", err)
	}
}

// A server that has nothing to do does nothing, whatever has happened before: no fixed steps (weakness 6), no wake-up or
// readiness that is seen for ever, neither of muted, half-closed, parked nor throttled channels.
func TestIdleLoopSleeps(t *testing.T) {
	f := start(t)
	answered, muted, half, throttled, parked := f.dial(t), f.dial(t), f.dial(t), f.dial(t), f.dial(t)
	answered.send(request(1))
	f.answer(f.next(t))
	answered.wantAnswer(1)
	throttled.send(requests(1, 3))
	f.respond(f.next(t), socketserver.Response{Throttle: time.Hour, Frame: answerFrame(1, nil)})
	throttled.wantAnswer(1)
	muted.send(requests(1, 3))
	f.next(t)
	half.send(request(1))
	f.next(t)
	half.CloseWrite()
	f.disconnected(t)
	f.setRoom(0)
	parked.send(requests(1, 3))
	f.wantParked(t, 1)
	for range 3 {
		f.server.Processors()[0].Resume()
	}
	time.Sleep(quiet)
	before := processorTime(t)
	time.Sleep(10 * quiet)
	if used := processorTime(t) - before; used > quiet {
		t.Errorf("%v of processor time in %v of idleness", used, 10*quiet)
	}
}

// processorTime is what the process has used.
func processorTime(t testing.TB) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Row B11 (KAFKA-9796): stopping is not held up by an acceptor that waits for room. The loop is kept busy by a request
// channel that blocks, which it must not in real life.
func TestStopWhileTheAcceptorWaits(t *testing.T) {
	block := make(chan struct{})
	f := prepareBlocked(t, block)
	c := f.dial(t)
	c.send(request(1))
	<-f.submitting
	var flood sync.WaitGroup
	for range 60 {
		flood.Go(func() {
			if conn, err := net.Dial("tcp", f.server.Addr("TEST", 0).String()); err == nil {
				defer conn.Close()
				io.Copy(io.Discard, conn)
			}
		})
	}
	// 20 in the queue and one in the acceptor's hand (C6).
	eventually(t, "the acceptor waits", func() bool { return f.accepted() == 1+20+1 })
	stopped := make(chan struct{})
	go func() { f.server.StopAccepting(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("StopAccepting hangs")
	}
	if f.blocked() <= 0 {
		t.Error("no time was counted as blocked") // C7
	}
	close(block)
	f.server.Close()
	flood.Wait()
}

// Rows C2, C10: without descriptors the acceptor waits instead of spinning, says so once, and goes on when it has some.
func TestNoFreeDescriptor(t *testing.T) {
	f := start(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	waiting := rawConnect(t) // its descriptor must exist before there are no more
	lowered := limit
	lowered.Cur = uint64(highestDescriptor(t)) + 1
	holes := fillHoles(t, int(lowered.Cur))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	addr := f.server.Addr("TEST", 0).(*net.TCPAddr)
	err := unix.Connect(waiting, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}})
	time.Sleep(10 * quiet)
	errs := f.metric(t, "kanal_acceptor_errors_total")
	for _, fd := range holes {
		unix.Close(fd)
	}
	if restore := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); restore != nil || err != nil {
		t.Fatal(restore, err)
	}
	if errs == 0 || errs > 10 {
		t.Errorf("%v failed accepts in %v", errs, 10*quiet)
	}
	if !f.log.has("level=WARN", `msg="connection not accepted"`, "descriptors_missing=true") {
		t.Error("no warning")
	}
	unix.Write(waiting, request(1))
	f.next(t)
}

func rawConnect(t *testing.T) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func highestDescriptor(t *testing.T) int {
	highest := 0
	for fd := range openDescriptors(t) + 256 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			highest = fd
		}
	}
	return highest
}

// fillHoles takes the descriptors below limit.
func fillHoles(t *testing.T, limit int) (taken []int) {
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		if fd >= limit {
			unix.Close(fd)
			return taken
		}
		taken = append(taken, fd)
	}
}

// blockedFixture has a request channel whose Submit blocks.
type blockedFixture struct {
	*fixture
	submitting chan struct{}
	t          *testing.T
}

type blocking struct {
	processors
	until      chan struct{}
	submitting chan struct{}
}

func (b *blocking) Submit(*socketserver.Request) (bool, network.CloseReason) {
	close(b.submitting)
	<-b.until
	return false, network.ReasonInternal
}
func (b *blocking) Flush(int)                      {}
func (b *blocking) Disconnected(int, uint64, bool) {}

func prepareBlocked(t *testing.T, until chan struct{}) *blockedFixture {
	rc := &blocking{until: until, submitting: make(chan struct{})}
	f := startWith(t, rc, []socketserver.ListenerConfig{{}})
	return &blockedFixture{f, rc.submitting, t}
}

func (f *blockedFixture) accepted() float64 { return f.metric(f.t, "kanal_connections_accepted_total") }
func (f *blockedFixture) blocked() float64 {
	return f.metric(f.t, "kanal_acceptor_blocked_seconds_total")
}
