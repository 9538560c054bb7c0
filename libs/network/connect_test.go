package network

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pollUntil polls until the condition holds.
func pollUntil(t *testing.T, s *Selector, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
		if err := s.Poll(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// The client direction: what is sent before the connection stands is written when it does, answers come back several per
// poll, and the server's close is told (testNormalOperation, testServerDisconnect).
func TestConnect(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s := newSelector(t, Config{MaxReceiveSize: 100, ReceivesPerPoll: 8})
	c, err := s.Connect(server.Addr().(*net.TCPAddr).AddrPort(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	s.Send(c, Send{Frame: []byte("early")})
	connected := false
	pollUntil(t, s, "the send completes", func() bool {
		connected = connected || len(s.Connected()) == 1
		return len(s.CompletedSends()) == 1
	})
	if !connected || c.Attachment != "mine" {
		t.Error("the connection was not told")
	}
	peer, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 9)
	if _, err := peer.Read(got); err != nil || string(got) != "\x00\x00\x00\x05early" {
		t.Fatalf("%q, %v", got, err)
	}
	peer.Write(frames("a", "b", "c"))
	var heard []string
	pollUntil(t, s, "three frames arrive", func() bool {
		for _, r := range s.Receives() {
			heard = append(heard, string(r.Frame))
		}
		return len(heard) == 3
	})
	peer.Close()
	var gone []Closed
	pollUntil(t, s, "the close is told", func() bool { gone = s.Disconnected(); return len(gone) > 0 })
	if gone[0].Channel != c || gone[0].Reason != ReasonPeerClosed || s.Open() != 0 {
		t.Errorf("gone %+v", gone)
	}
}

// testConnectionRefused.
func TestConnectRefused(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := server.Addr().(*net.TCPAddr).AddrPort()
	server.Close()
	s := newSelector(t, Config{MaxReceiveSize: 100})
	c, err := s.Connect(addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Send(c, Send{Frame: []byte("never"), Cookie: 1})
	var gone []Closed
	pollUntil(t, s, "the failure is told", func() bool { gone = s.Disconnected(); return len(gone) > 0 })
	if gone[0].Reason != ReasonConnectFailed || !errors.Is(gone[0].Err, unix.ECONNREFUSED) || len(gone[0].Lost) != 1 {
		t.Errorf("gone %+v", gone)
	}
	if len(s.Connected()) != 0 {
		t.Error("it was told as connected")
	}
}

func TestConnectToIPv6(t *testing.T) {
	server, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback: ", err)
	}
	defer server.Close()
	s := newSelector(t, Config{MaxReceiveSize: 100})
	port := uint16(server.Addr().(*net.TCPAddr).Port)
	if _, err := s.Connect(netip.AddrPortFrom(netip.IPv6Loopback(), port), nil); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, s, "it is connected", func() bool { return len(s.Connected()) == 1 })
}

// Rows F14, F15, G4, testMute: a muted channel costs nothing while bytes arrive, and its peer's half close is told once (design section 3).
func TestMutedChannel(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	s := newSelector(t, Config{MaxReceiveSize: 100})
	c, err := s.Register(fds[0], Layers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Mute()
	unix.Write(fds[1], frames("one", "two"))
	s.Poll(0)
	unix.Shutdown(fds[1], unix.SHUT_WR)
	s.Poll(0)
	if half := s.HalfClosed(); len(half) != 1 || half[0] != c || !c.PeerClosed() {
		t.Fatalf("half closed: %v", half)
	}
	if s.Stats().ReceivedBytes != 0 || s.busy() {
		t.Error("a muted channel was read")
	}
	var heard []string
	for range 2 {
		s.MaybeUnmute(c)
		s.Poll(-1)
		for _, r := range s.Receives() {
			heard = append(heard, string(r.Frame))
			c.Mute()
		}
	}
	if len(heard) != 2 || heard[0] != "one" || heard[1] != "two" {
		t.Errorf("heard %q", heard)
	}
	s.MaybeUnmute(c)
	s.Poll(-1)
	if gone := s.Disconnected(); len(gone) != 1 || gone[0].Reason != ReasonPeerClosed || len(s.HalfClosed()) != 0 {
		t.Errorf("gone %+v", gone)
	}
}
