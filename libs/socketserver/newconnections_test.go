package socketserver

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"kanal/libs/network"
)

// still is a server that was not started: its processor is the test's to drive.
type still struct {
	*Server
	*Processor
	listener *listenerQuota
}

type deaf struct{}

func (deaf) AddProcessor(*Processor) error               { return nil }
func (deaf) RemoveProcessor(int)                         {}
func (deaf) Submit(*Request) (bool, network.CloseReason) { return false, network.ReasonInternal }
func (deaf) Flush(int)                                   {}
func (deaf) Disconnected(int, uint64, bool)              {}

func newStill(t *testing.T) still {
	t.Helper()
	s, err := New(Config{Listeners: []ListenerConfig{{Name: "TEST", Processors: 1}}}, deaf{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // has no error of its own
	return still{s, s.Processors()[0], s.quotas.listeners[0]}
}

// admit counts a descriptor in, as the acceptor does.
func (s still) admit(t *testing.T, fd int) socket {
	t.Helper()
	peer := netip.AddrPortFrom(address(1), 40_000)
	q := s.Processor.quotas
	if !q.admit(s.listener, peer.Addr(), 0).admitted {
		t.Fatal("not admitted")
	}
	return socket{fd: fd, remote: peer, slot: slot{q, s.listener, peer.Addr()}}
}

func (s still) counted() int { return s.Processor.quotas.total }

// tcpSocket is a socket that can be registered.
func tcpSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// Rows E2, C3, F12, configureNewConnectionException, testExceptionInAcceptor, registerFailure: an accepted socket that
// cannot be set up is closed and counted, its slot comes back, and the next one is registered.
func TestSocketThatCannotBeRegistered(t *testing.T) {
	s := newStill(t)
	const noSocket = 1 << 20
	s.accept(s.admit(t, noSocket))
	good := tcpSocket(t)
	s.accept(s.admit(t, good))
	s.openDoors()
	s.configureNewConnections()
	if s.counted() != 1 || s.sel.Open() != 1 {
		t.Errorf("%d counted, %d open, want 1", s.counted(), s.sel.Open())
	}
	if n := testutil.ToFloat64(s.counts.closed[network.ReasonRegisterFailed]); n != 1 {
		t.Errorf("%v counted as not registered", n)
	}
	s.Close()
	if _, err := unix.FcntlInt(uintptr(good), unix.F_GETFD, 0); err == nil || s.counted() != 0 {
		t.Errorf("a socket is left open, or counted: %d", s.counted())
	}
}

// Row E2, KIP-402: at most 20 connections are registered in one pass, although the acceptor goes on putting down more;
// and so with those that a retiring processor hands on, for which there is always room.
func TestNewConnectionsPerPass(t *testing.T) {
	s := newStill(t)
	put := func() {
		for range newConnectionQueue {
			if !s.accept(s.admit(t, tcpSocket(t))) {
				t.Fatal("no room")
			}
		}
	}
	pass := func(want int) {
		t.Helper()
		s.configureNewConnections()
		if n := s.sel.Open(); n != want {
			t.Fatalf("%d connections are registered, want %d", n, want)
		}
	}
	put()
	if s.accept(socket{}) { // C6
		t.Error("there is room for more than 20")
	}
	s.openDoors()
	put()
	pass(20)
	var handed []socket
	for range 5 {
		handed = append(handed, s.admit(t, tcpSocket(t)))
	}
	s.handOn(handed, nil)
	s.openDoors()
	if pass(40); !s.more || s.timeout() != 0 {
		t.Error("the loop would sleep while sockets wait")
	}
	s.openDoors()
	pass(45)
}

// Row E3: the index of a connection wraps to 0 after 2147483647; numeric addresses, IPv6 without brackets
// (ServerConnectionIdTest).
func TestConnectionIDs(t *testing.T) {
	s := newStill(t)
	s.index = math.MaxInt32
	for _, want := range []int{math.MaxInt32, 0, 1} {
		c := s.admit(t, -1)
		id := s.connection(c, netip.MustParseAddrPort("127.0.0.1:9092")).ID
		if !strings.HasSuffix(id, fmt.Sprintf("-0-%d", want)) {
			t.Errorf("connection %s, want index %d", id, want)
		}
		c.release(false)
	}
	for _, c := range []struct{ local, remote, want string }{
		{"127.0.0.1:9092", "10.1.2.3:54321", "127.0.0.1:9092-10.1.2.3:54321-3-7"},
		{"[::1]:9092", "[fe80::1]:54321", "::1:9092-fe80::1:54321-3-7"},
	} {
		if got := connectionID(netip.MustParseAddrPort(c.local), netip.MustParseAddrPort(c.remote), 3, 7); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
