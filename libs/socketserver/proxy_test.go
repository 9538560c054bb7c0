package socketserver_test

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func proxied(mode socketserver.ProxyMode, trusted []netip.Prefix) socketserver.ListenerConfig {
	return socketserver.ListenerConfig{
		Proxy: socketserver.ProxyConfig{Mode: mode, Trusted: trusted}, HandshakeTimeout: patience,
	}
}

func header(t testing.TB, version byte, from string) []byte {
	t.Helper()
	source := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
	destination := &net.TCPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 9092}
	if source.IP.To4() == nil {
		destination.IP = net.ParseIP("fd00::9")
	}
	b, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// 5.2 #14: the address in the header is the client's, for handlers and ids, whatever pieces it comes in.
func TestProxyHeader(t *testing.T) {
	local, err := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
	if err != nil {
		t.Fatal(err)
	}
	withExtras, err := tlvs(t, 300)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mode    socketserver.ProxyMode
		header  []byte
		address string
	}{
		"version 1":             {socketserver.ProxyRequire, header(t, 1, "192.0.2.7:4711"), "192.0.2.7"},
		"version 1, IPv6":       {socketserver.ProxyRequire, header(t, 1, "[2001:db8::7]:4711"), "2001:db8::7"},
		"version 2":             {socketserver.ProxyRequire, header(t, 2, "192.0.2.7:4711"), "192.0.2.7"},
		"version 2, IPv6":       {socketserver.ProxyAccept, header(t, 2, "[2001:db8::7]:4711"), "2001:db8::7"},
		"version 2 with extras": {socketserver.ProxyRequire, withExtras, "192.0.2.7"},
		"unknown":               {socketserver.ProxyRequire, []byte("PROXY UNKNOWN\r\n"), "127.0.0.1"},
		"local":                 {socketserver.ProxyRequire, local, "127.0.0.1"},
		"none, accepted":        {socketserver.ProxyAccept, nil, "127.0.0.1"},
	} {
		for pieces, send := range map[string]func(client, []byte){
			"whole": client.send, "byte by byte": client.dribble,
		} {
			t.Run(name+" "+pieces, func(t *testing.T) {
				f := start(t, proxied(c.mode, loopback))
				conn := f.dial(t)
				send(conn, append(bytes.Clone(c.header), requests(1, 2)...))
				for want := int32(1); want <= 2; want++ {
					r := f.next(t)
					if r.correlation != want || r.conn.ClientAddress != c.address || !bytes.Contains([]byte(r.conn.ID), []byte("-"+c.address+":")) {
						t.Fatalf("request %d of %s as %s, want %d of %s", r.correlation, r.conn.ClientAddress, r.conn.ID, want, c.address)
					}
					f.answer(r)
					conn.wantAnswer(want)
				}
			})
		}
	}
}

func (c client) dribble(b []byte) {
	c.t.Helper()
	if _, err := (dribble{c}).Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func tlvs(t testing.TB, n int) ([]byte, error) {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 2})
	if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, n)}}); err != nil {
		t.Fatal(err)
	}
	return h.Format()
}

func TestProxyHeaderRefused(t *testing.T) {
	long, err := tlvs(t, 5000)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		bytes   []byte
		reason  network.CloseReason
	}{
		"missing":              {loopback, request(1), network.ReasonInvalidProxyHeader},
		"version 1, malformed": {loopback, []byte("PROXY TCP4 nonsense\r\n"), network.ReasonInvalidProxyHeader},
		"version 1, endless":   {loopback, bytes.Repeat([]byte("PROXY "), 20), network.ReasonInvalidProxyHeader},
		"version 2, command":   {loopback, []byte("\r\n\r\n\x00\r\nQUIT\n\x2f\x11\x00\x00"), network.ReasonInvalidProxyHeader},
		"version 2, short":     {loopback, []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x03abc"), network.ReasonInvalidProxyHeader},
		"version 2, long":      {loopback, long, network.ReasonInvalidProxyHeader},
		"not trusted":          {elsewhere, header(t, 1, "192.0.2.7:4711"), network.ReasonProxyUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, proxied(socketserver.ProxyRequire, c.trusted))
			conn := f.dial(t)
			conn.Write(c.bytes)
			conn.wantEnd(true)
			f.closedFor(t, c.reason, 1)
			f.none(t)
		})
	}
}

// Whoever is not trusted speaks for himself where a header is not required.
func TestProxyHeaderOfStrangersIsNoHeader(t *testing.T) {
	f := start(t, proxied(socketserver.ProxyAccept, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}))
	plain, liar := f.dial(t), f.dial(t)
	plain.send(request(1))
	if r := f.next(t); r.conn.ClientAddress != "127.0.0.1" {
		t.Errorf("address %s", r.conn.ClientAddress)
	}
	liar.send(header(t, 1, "192.0.2.7:4711"))
	liar.wantEnd(true)
	f.closedFor(t, network.ReasonInvalidSize, 1)
}

func TestProxyHeaderDeadlineAndEnd(t *testing.T) {
	cfg := proxied(socketserver.ProxyRequire, loopback)
	cfg.HandshakeTimeout = 50 * time.Millisecond
	f := start(t, cfg)
	silent, half := f.dial(t), f.dial(t)
	half.send(header(t, 2, "192.0.2.7:4711")[:20])
	silent.wantEnd(false)
	half.wantEnd(true)
	f.closedFor(t, network.ReasonProxyHeaderDeadline, 2)
}

func TestProxyHeaderAborted(t *testing.T) {
	f := start(t, proxied(socketserver.ProxyRequire, loopback))
	f.dial(t).Close()
	half := f.dial(t)
	half.send(header(t, 2, "192.0.2.7:4711")[:20])
	half.TCPConn.CloseWrite()
	half.wantEnd(true)
	f.closedFor(t, network.ReasonHandshakeAborted, 2)
}

// D3, D11: the limits of an address go by the header; the proxy itself has none.
func TestProxiedQuotas(t *testing.T) {
	f := prepareConfig(t, newHandlers(), socketserver.Config{
		Listeners: []socketserver.ListenerConfig{proxied(socketserver.ProxyRequire, loopback)},
		Quotas:    socketserver.Quotas{MaxPerIP: 2},
	})
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	of := func(address string) client {
		c := f.dial(t)
		c.send(header(t, 2, address))
		return c
	}
	counted := func(n float64) {
		t.Helper()
		eventually(t, "connections are counted", func() bool { return f.metric(t, "kanal_connections", "TEST") == n })
	}
	first := of("192.0.2.7:1")
	for _, other := range []string{"192.0.2.7:2", "192.0.2.8:1", "192.0.2.8:2", "192.0.2.9:1"} {
		of(other)
	}
	counted(5)
	of("192.0.2.7:3").wantEnd(true)
	f.closedFor(t, network.ReasonTooManyConnectionsOfIP, 1)
	first.Close()
	f.closedFor(t, network.ReasonPeerClosed, 1)
	of("192.0.2.7:4")
	counted(5)
	if n := f.metric(t, "kanal_connections_closed_total", network.ReasonTooManyConnectionsOfIP.String()); n != 1 {
		t.Errorf("%v were refused, want 1", n)
	}
}

// TLS behind the header begins with clean bytes, wherever the two are cut.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) {
		l.Proxy = socketserver.ProxyConfig{Mode: socketserver.ProxyRequire, Trusted: loopback}
	})
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"whole": func(c net.Conn) net.Conn { return c }, "byte by byte": func(c net.Conn) net.Conn { return dribble{c} },
	} {
		t.Run(name, func(t *testing.T) {
			raw := wrap(e.dial(t))
			// The header leaves together with the first bytes of TLS.
			s := secure{tls.Client(&announced{Conn: raw, before: header(t, 2, "192.0.2.7:4711")}, e.client()), t}
			s.SetDeadline(time.Now().Add(patience))
			s.send(request(1))
			r := e.next(t)
			if r.conn.ClientAddress != "192.0.2.7" || r.conn.TLSProtocol == "" {
				t.Errorf("%+v", r.conn)
			}
			e.answer(r)
			s.wantAnswer(1)
		})
	}
}

// announced puts bytes before the first that are written.
type announced struct {
	net.Conn
	before []byte
}

func (a *announced) Write(b []byte) (int, error) {
	n := len(b)
	if a.before != nil {
		b, a.before = append(a.before, b...), nil
	}
	_, err := a.Conn.Write(b)
	return n, err
}

// The answer does not depend on how the bytes arrive.
func FuzzProxyHeader(f *testing.F) {
	f.Add(header(f, 1, "192.0.2.7:4711"), uint64(1))
	f.Add(header(f, 2, "[2001:db8::7]:4711"), uint64(2))
	f.Add([]byte("PROXY UNKNOWN\r\n"), uint64(3))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		b = append(b, "and what comes after"...)
		want, n, err := socketserver.ParseProxyHeader(b)
		if n < 0 || n > len(b) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		chance := rand.New(rand.NewPCG(seed, 0))
		for have := 0; have < len(b); have += 1 + chance.IntN(16) {
			source, k, errThen := socketserver.ParseProxyHeader(b[:have])
			switch {
			case k == 0 && errThen == nil: // goes on
			case errThen != nil:
				if err == nil {
					t.Fatalf("refused with %d bytes: %v", have, errThen)
				}
				return
			case k != n || source != want:
				t.Fatalf("%v in %d bytes with %d bytes, %v in %d bytes with all", source, k, have, want, n)
			}
		}
	})
}
