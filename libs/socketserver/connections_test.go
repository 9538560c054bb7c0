package socketserver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/network"
	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// startLimited is start with quotas.
func startLimited(t testing.TB, q socketserver.Quotas, listeners ...socketserver.ListenerConfig) *fixture {
	t.Helper()
	h := newHandlers()
	f := prepareConfig(t, h, socketserver.Config{Listeners: listeners, Quotas: q})
	f.handlers, h.server = h, f.server
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

// dialFrom connects from 127.0.0.n.
func (f *fixture) dialFrom(t testing.TB, n int, listener string) client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(n))}, Timeout: patience}
	conn, err := d.Dial("tcp", f.server.Addr(listener, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn.(*net.TCPConn), t}
}

// served asks something and gets its answer: the connection is in.
func (f *fixture) served(t testing.TB, cs ...client) {
	t.Helper()
	for _, c := range cs {
		c.send(request(7))
		f.answer(f.next(t))
		c.wantAnswer(7)
	}
}

// waiting asks something and gets nothing: the connection is established, and nobody looks at it.
func (f *fixture) waiting(t testing.TB, c client) {
	t.Helper()
	c.send(request(8))
	f.none(t)
}

// admitted is that a connection which waited is in.
func (f *fixture) admitted(t testing.TB, c client) {
	t.Helper()
	f.answer(f.next(t))
	c.wantAnswer(8)
}

func ip(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(n)}) }

// Row D3: beyond an address's limit a connection is accepted by TCP and closed at once, without a byte; overrides go
// before the default, 0 included; other addresses do not notice; a place comes free with each close.
func TestConnectionsPerAddress(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxPerIP: 2, PerIP: map[netip.Addr]int{ip(3): 3, ip(4): 0}})
	first, second := f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 2, "TEST")
	f.served(t, first, second)
	f.dialFrom(t, 2, "TEST").wantEnd(false)
	f.closedFor(t, network.ReasonTooManyConnectionsOfIP, 1)
	if !f.log.has("level=INFO", "connection refused", "client=127.0.0.2", "limit=2", "reason=too_many_connections_of_ip") {
		t.Error("it was not logged")
	}
	for range 3 {
		f.served(t, f.dialFrom(t, 3, "TEST"))
	}
	f.dialFrom(t, 3, "TEST").wantEnd(false)
	f.dialFrom(t, 4, "TEST").wantEnd(false)
	first.Close()
	f.closedFor(t, network.ReasonPeerClosed, 1)
	f.served(t, f.dialFrom(t, 2, "TEST"), second)
	f.dialFrom(t, 2, "TEST").wantEnd(false)
	f.closedFor(t, network.ReasonTooManyConnectionsOfIP, 4)
	if got := f.metric(t, "kanal_connections", "TEST"); got != 5 {
		t.Errorf("%v connections, want 5", got)
	}
}

// Row D3: 0 connections of an address make sense only with overrides; here 0 is no limit and negative is none.
func TestNoAddressButOverrides(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxPerIP: -1, PerIP: map[netip.Addr]int{ip(5): 1}})
	f.dialFrom(t, 2, "TEST").wantEnd(false)
	f.served(t, f.dialFrom(t, 5, "TEST"))
}

// Rows D4, D13, C7: at its limit a listener accepts no more, rejects nothing, and each close lets one in; the time is
// counted while it goes on. Another listener does not notice, and addresses over their own limit are not kept waiting.
func TestListenerLimitWaits(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{}, socketserver.ListenerConfig{Quotas: socketserver.ListenerQuotas{MaxConnections: 2}}, socketserver.ListenerConfig{Name: "OTHER"})
	first, second := f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 3, "TEST")
	f.served(t, first, second)
	third := f.dialFrom(t, 4, "TEST")
	f.waiting(t, third)
	blocked := func() float64 { return f.metric(t, "kanal_acceptor_blocked_seconds_total", "TEST") }
	eventually(t, "blocked time is counted", func() bool { return blocked() > 0 })
	fourth := f.dialFrom(t, 4, "TEST")
	f.served(t, f.dialFrom(t, 4, "OTHER"))
	first.Close()
	f.admitted(t, third)
	f.waiting(t, fourth)
	second.reset()
	f.admitted(t, fourth)
	eventually(t, "blocked time stands still", func() bool { before := blocked(); time.Sleep(quiet); return blocked() == before })
	if other := f.metric(t, "kanal_acceptor_blocked_seconds_total", "OTHER"); other != 0 {
		t.Errorf("the other listener was blocked for %v s", other)
	}
}

// Row D4: the server's limit is that of each listener without one of its own, of a privileged one too.
func TestServersLimitIsTheListeners(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 1}, socketserver.ListenerConfig{}, socketserver.ListenerConfig{Name: "IN", Privileged: true})
	f.served(t, f.dialFrom(t, 2, "IN"))
	f.waiting(t, f.dialFrom(t, 2, "IN"))
}

// Row D5: across listeners; freeing a connection of any lets one in.
func TestServerLimitWaits(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 2}, socketserver.ListenerConfig{}, socketserver.ListenerConfig{Name: "B"})
	a, b := f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 3, "B")
	f.served(t, a, b)
	c := f.dialFrom(t, 4, "B")
	f.waiting(t, c)
	a.Close()
	f.admitted(t, c)
}

// Weakness 13: by setting, what cannot come in is closed at once and counted instead of kept waiting without a word.
func TestRefuseInsteadOfWaiting(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 1, Refuse: true})
	a := f.dialFrom(t, 2, "TEST")
	f.served(t, a)
	for range 3 {
		f.dialFrom(t, 3, "TEST").wantEnd(false)
	}
	f.closedFor(t, network.ReasonTooManyConnections, 3)
	if blocked := f.metric(t, "kanal_acceptor_blocked_seconds_total"); blocked != 0 {
		t.Errorf("the acceptor was blocked for %v s", blocked)
	}
	a.Close()
	f.closedFor(t, network.ReasonPeerClosed, 1)
	f.served(t, f.dialFrom(t, 3, "TEST"))
	if f.log.has("refused=3") {
		t.Error("every refusal was logged")
	}
}

// Row B11 with quotas: stopping is not held up by an acceptor that waits for a slot, and the socket in its hand is closed
// (C11).
func TestStopWhileWaitingForASlot(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 1})
	in := f.dialFrom(t, 2, "TEST")
	f.served(t, in)
	out := f.dialFrom(t, 2, "TEST")
	eventually(t, "it is accepted", func() bool { return f.metric(t, "kanal_connections_accepted_total") == 2 })
	f.server.StopAccepting()
	out.wantEnd(true)
	f.served(t, in)
}

// Rows D6, D7, D8: a privileged listener is not held by the server's limit; for each of its connections beyond it one
// client has to go, whoever was active least recently, and nobody exactly at the limit.
func TestPrivilegedConnectionsPushOutTheLeastRecent(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 5}, socketserver.ListenerConfig{}, socketserver.ListenerConfig{Name: "IN", Privileged: true})
	var clients []client
	for range 4 {
		clients = append(clients, f.dialFrom(t, 2, "TEST"))
		f.served(t, clients[len(clients)-1])
	}
	f.served(t, f.dialFrom(t, 3, "IN"))
	f.served(t, clients[0]) // now the second is the least recent
	clients[2].send(request(50))
	polling := f.next(t) // the third, once the second is gone, but for its request
	if got := f.metric(t, "kanal_connections_closed_total", "excess_connection"); got != 0 {
		t.Fatalf("%v closed at the limit", got)
	}
	blocked := f.dialFrom(t, 2, "TEST")
	f.waiting(t, blocked)
	for i, victim := range []int{1, 3, 0} {
		f.served(t, f.dialFrom(t, 3, "IN"))
		clients[victim].wantEnd(false)
		f.closedFor(t, network.ReasonExcessConnection, float64(i+1))
	}
	f.answer(polling)
	clients[2].wantAnswer(50)
	f.none(t)
	if got := f.metric(t, "kanal_connections"); got != 5 {
		t.Errorf("%v connections, want 5", got)
	}
}

// Row D9, whose defect is not copied: several processors close exactly as many as needed, however many come at a time.
func TestExactlyTheExcessIsClosed(t *testing.T) {
	const clients, more = 24, 10
	f := startLimited(t, socketserver.Quotas{MaxConnections: clients}, socketserver.ListenerConfig{Processors: 4}, socketserver.ListenerConfig{Name: "IN", Privileged: true})
	for range clients {
		f.served(t, f.dialFrom(t, 2, "TEST"))
	}
	var dialling sync.WaitGroup
	for range more {
		dialling.Go(func() { f.dialFrom(t, 3, "IN") })
	}
	dialling.Wait()
	f.closedFor(t, network.ReasonExcessConnection, more)
	time.Sleep(quiet) // for one too many
	f.closedFor(t, network.ReasonExcessConnection, more)
	if got := f.metric(t, "kanal_connections"); got != clients {
		t.Errorf("%v connections, want %v", got, clients)
	}
}

// Row D6: a privileged listener alone is a listener as any.
func TestPrivilegedAloneIsNotProtected(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 1},
		socketserver.ListenerConfig{Privileged: true, Quotas: socketserver.ListenerQuotas{MaxConnections: 9}})
	f.served(t, f.dialFrom(t, 2, "TEST"))
	f.waiting(t, f.dialFrom(t, 2, "TEST"))
}

// Rows D10, D12: beyond the burst connections come in at the rate, all of them; the privileged listener is measured
// against its own rate only.
func TestCreationRateDelays(t *testing.T) {
	rate := socketserver.Rate{PerSecond: 20, Burst: 2}
	for name, c := range map[string]struct {
		q socketserver.Quotas
		l socketserver.ListenerQuotas
	}{"server": {q: socketserver.Quotas{Rate: rate}}, "listener": {l: socketserver.ListenerQuotas{Rate: rate}}} {
		t.Run(name, func(t *testing.T) {
			f := startLimited(t, c.q, socketserver.ListenerConfig{Quotas: c.l}, socketserver.ListenerConfig{Name: "IN", Privileged: true})
			begin := time.Now()
			var slow []client
			for range 8 {
				c := f.dialFrom(t, 2, "TEST")
				c.send(request(8))
				slow = append(slow, c)
			}
			for range 10 { // while the others wait, without a delay
				f.dialFrom(t, 2, "IN")
			}
			eventually(t, "the privileged are in", func() bool { return f.metric(t, "kanal_connections", "IN") == 10 })
			early := f.metric(t, "kanal_connections", "TEST")
			for _, c := range slow {
				f.admitted(t, c)
			}
			if took := time.Since(begin); took < 6*time.Second/20 || early == 8 {
				t.Errorf("8 connections in %v, %v of them before 10 privileged ones", took, early)
			}
			if f.metric(t, "kanal_acceptor_blocked_seconds_total", "TEST") == 0 || f.metric(t, "kanal_acceptor_blocked_seconds_total", "IN") != 0 {
				t.Error("the blocked time is wrong")
			}
		})
	}
}

// Rows C8, C9, D11: an address that connects too often gets silence, then the end, and never comes in; others do not
// notice, and the refused have cost no budget of their listener's rate. The held sockets do not pile up.
func TestCreationRatePerAddress(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{RatePerIP: socketserver.Rate{PerSecond: 1, Burst: 1}},
		socketserver.ListenerConfig{Quotas: socketserver.ListenerQuotas{Rate: socketserver.Rate{PerSecond: 0.001, Burst: 3}}})
	f.served(t, f.dialFrom(t, 2, "TEST"))
	begin := time.Now()
	refused := []client{f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 2, "TEST")}
	refused[0].send(request(9))
	f.served(t, f.dialFrom(t, 3, "TEST"))
	refused[0].wantEnd(true)
	if held := time.Since(begin); held < 300*time.Millisecond {
		t.Errorf("closed after %v", held)
	}
	refused[1].wantEnd(true)
	f.closedFor(t, network.ReasonConnectionRateOfIP, 2)
	f.none(t)
	if blocked := f.metric(t, "kanal_acceptor_blocked_seconds_total"); blocked != 0 {
		t.Errorf("the acceptor was blocked for %v s", blocked)
	}
	f.served(t, f.dialFrom(t, 4, "TEST")) // the third and last of the listener's budget
	eventually(t, "no socket is held", func() bool { return f.metric(t, "kanal_connections_held") == 0 })
}

// Row C9: the sooner a socket's time ends the sooner it is closed, although others with a later end are there and more of
// them keep coming: each address has an end of its own.
func TestHeldSocketsLeaveInTheirOrder(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{RatePerIP: socketserver.Rate{PerSecond: 4, Burst: 1}})
	f.dialFrom(t, 2, "TEST")
	early := f.dialFrom(t, 2, "TEST")
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, early); close(ended) }()
	for n := range 200 {
		f.dialFrom(t, 3+n, "TEST")
		f.dialFrom(t, 3+n, "TEST").SetLinger(0)
		select {
		case <-ended:
			if held := f.metric(t, "kanal_connections_held"); held == 0 {
				t.Error("it was not the first to go")
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("the first is held as long as there are later ones")
}

// Row C8: they are closed in time although the acceptor waits for a slot.
func TestHeldSocketsAreClosedWhileTheAcceptorWaits(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 1, RatePerIP: socketserver.Rate{PerSecond: 10, Burst: 1}})
	in := f.dialFrom(t, 2, "TEST")
	f.served(t, in)
	held, waits := f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 3, "TEST")
	f.waiting(t, waits)
	held.wantEnd(false)
	in.Close()
	f.admitted(t, waits)
}

// Row C8: held sockets are closed at shutdown.
func TestHeldSocketsAreClosedAtShutdown(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{RatePerIP: socketserver.Rate{PerSecond: 0.001}})
	f.served(t, f.dialFrom(t, 2, "TEST"))
	held := f.dialFrom(t, 2, "TEST")
	eventually(t, "it is held", func() bool { return f.metric(t, "kanal_connections_held") == 1 })
	begin := time.Now()
	f.server.StopAccepting()
	held.wantEnd(false)
	if took := time.Since(begin); took > 900*time.Millisecond {
		t.Errorf("closed after %v, which is when its time was over", took)
	}
}

// Rows D14, D15: a raised limit lets in who waits; lowered ones close the excess but nothing of an address; what is wrong
// is refused as a whole.
func TestQuotasChangeWhileRunning(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxConnections: 2}, socketserver.ListenerConfig{}, socketserver.ListenerConfig{Name: "IN", Privileged: true})
	update := func(q socketserver.Quotas, ls map[string]socketserver.ListenerQuotas) error {
		return f.server.UpdateQuotas(q, ls)
	}
	a, b, c := f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 2, "TEST")
	f.served(t, a, b)
	f.waiting(t, c)
	err := update(socketserver.Quotas{MaxConnections: -1, MaxPerIP: -1}, map[string]socketserver.ListenerQuotas{"TEST": {MaxConnections: -7}, "X": {}})
	for _, part := range []string{"-1", "-7", "no overrides", `"X"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	f.none(t)
	if err := update(socketserver.Quotas{MaxConnections: 3, MaxPerIP: 1}, nil); err == nil {
		f.none(t) // now it is refused: its address has two
		c.wantEnd(true)
	} else {
		t.Error(err)
	}
	f.served(t, a, b)
	if err := update(socketserver.Quotas{MaxConnections: 1}, nil); err != nil {
		t.Error(err)
	}
	a.wantEnd(false)
	f.closedFor(t, network.ReasonExcessConnection, 1)
	f.served(t, b)
	d := f.dialFrom(t, 2, "TEST")
	f.waiting(t, d)
	if err := update(socketserver.Quotas{MaxConnections: 9}, map[string]socketserver.ListenerQuotas{"TEST": {MaxConnections: 2}}); err != nil {
		t.Error(err)
	}
	f.admitted(t, d)
	f.waiting(t, f.dialFrom(t, 2, "TEST"))
}

// Row D15: what is wrong with quotas is reported with the rest.
func TestBadQuotas(t *testing.T) {
	_, err := socketserver.New(socketserver.Config{
		Listeners: []socketserver.ListenerConfig{{Name: "A", Quotas: socketserver.ListenerQuotas{MaxConnections: -2}}, {Name: "B", Quotas: socketserver.ListenerQuotas{Rate: socketserver.Rate{PerSecond: -3}}}},
		Quotas:    socketserver.Quotas{MaxConnections: -4, PerIP: map[netip.Addr]int{ip(1): -5}, RatePerIP: socketserver.Rate{Burst: -6}},
	}, nil, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	for _, part := range []string{`"A"`, "-2", `"B"`, "-3", "-4", "-5 connections of 127.0.0.1", "-6"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}

// Weakness 20: whatever way connections end, their slots come back: after a storm of all of them the limits are as free as
// before.
func TestNoSlotIsLost(t *testing.T) {
	const limit = 8
	f := startLimited(t, socketserver.Quotas{MaxConnections: limit, MaxPerIP: 2},
		socketserver.ListenerConfig{Processors: 2, FirstRequestTimeout: 2 * short, MaxIdle: 2 * short})
	var storm sync.WaitGroup
	addr := f.server.Addr("TEST", 0).String()
	for n := range 8 {
		storm.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(n), 7))
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n))}}
			for range 40 {
				if conn, err := d.Dial("tcp", addr); err == nil {
					end(conn.(*net.TCPConn), chance)
				}
			}
		})
	}
	answered := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(answered)
		for {
			select {
			case r := <-f.requests:
				f.answer(r)
			case <-ctx.Done():
				return
			}
		}
	}()
	storm.Wait()
	eventually(t, "all are gone", func() bool {
		return f.metric(t, "kanal_connections") == 0 && f.metric(t, "kanal_connections_accepted_total") == f.metric(t, "kanal_connections_closed_total")
	})
	stop()
	<-answered
	for n := range limit { // each at once: the listener's deadlines are short
		f.served(t, f.dialFrom(t, 2+n/2, "TEST"))
	}
}

// end does something with a connection and leaves it in one of many ways.
func end(conn *net.TCPConn, chance *rand.Rand) {
	defer conn.Close()
	switch chance.IntN(6) {
	case 0:
		conn.SetLinger(0)
	case 1:
		conn.Write([]byte{0xff, 0xff, 0xff, 0xff})
		io.Copy(io.Discard, conn)
	case 2:
		conn.Write(request(1)[:9])
	case 3:
		conn.Write(request(1))
		io.CopyN(io.Discard, conn, 8)
	case 4:
		conn.Write(request(1))
		conn.SetLinger(0)
	case 5:
		io.Copy(io.Discard, conn) // until a deadline
	}
}

// A registry that holds such metrics already refuses a second server, and keeps those of the first.
func TestMetricsOfASecondServer(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{})
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if _, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{{Name: "X", Processors: 1}}}, new(socketservertest.Echo), log, f.reg); err == nil {
		t.Fatal("two servers on one registry")
	}
	names := func(g prometheus.Gatherer) (all []string) {
		families, err := g.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range families {
			all = append(all, m.GetName())
		}
		return all
	}
	if got := names(f.reg); !slices.Contains(got, "kanal_acceptor_blocked_seconds_total") || !slices.Contains(got, "kanal_connections") {
		t.Error(fmt.Sprint(got))
	}
}

// established tells whether a connect succeeds soon.
func (f *fixture) established(t testing.TB) bool {
	t.Helper()
	conn, err := net.DialTimeout("tcp", f.server.Addr("TEST", 0).String(), 3*quiet)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return err == nil
}

// Rows D10, D11, D14: rates are lowered and raised while running, in total, of a listener and of addresses; who waits
// for the old one asks again at once, and who was refused may come.
func TestRatesChangeWhileRunning(t *testing.T) {
	hardly, often := socketserver.Rate{PerSecond: 0.001, Burst: 1}, socketserver.Rate{PerSecond: 10_000}
	for name, set := range map[string]func(socketserver.Rate) (socketserver.Quotas, socketserver.ListenerQuotas){
		"server":   func(r socketserver.Rate) (q socketserver.Quotas, l socketserver.ListenerQuotas) { q.Rate = r; return },
		"listener": func(r socketserver.Rate) (q socketserver.Quotas, l socketserver.ListenerQuotas) { l.Rate = r; return },
		"address": func(r socketserver.Rate) (q socketserver.Quotas, l socketserver.ListenerQuotas) {
			q.RatePerIP = r
			return
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := startLimited(t, socketserver.Quotas{})
			update := func(r socketserver.Rate) {
				q, l := set(r)
				if err := f.server.UpdateQuotas(q, map[string]socketserver.ListenerQuotas{"TEST": l}); err != nil {
					t.Fatal(err)
				}
			}
			f.served(t, f.dialFrom(t, 2, "TEST"), f.dialFrom(t, 2, "TEST"))
			update(hardly)
			f.served(t, f.dialFrom(t, 2, "TEST")) // the burst
			for range 2 {
				c := f.dialFrom(t, 2, "TEST")
				f.waiting(t, c)
				update(often)
				if name == "address" {
					c.wantEnd(true)
					f.served(t, f.dialFrom(t, 2, "TEST"))
				} else {
					f.admitted(t, c)
				}
				update(hardly)
			}
		})
	}
}
