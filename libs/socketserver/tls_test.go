package socketserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
	"kanal/libs/ssl/ssltest"
)

// encrypted is a running server with one TLS listener, and what its clients need.
type encrypted struct {
	*fixture
	authority *ssltest.Authority
	folder    string
	cfg       socketserver.ListenerConfig
}

func startTLS(t testing.TB, change func(*socketserver.ListenerConfig)) *encrypted {
	t.Helper()
	e := newEncrypted(t, change)
	e.fixture = start(t, e.cfg)
	return e
}

func newEncrypted(t testing.TB, change func(*socketserver.ListenerConfig)) *encrypted {
	e := &encrypted{authority: ssltest.NewAuthority(t, "authority"), folder: t.TempDir()}
	e.cfg = socketserver.ListenerConfig{SecurityProtocol: "SSL", HandshakeTimeout: patience}
	e.cfg.TLS.CertificateFile, e.cfg.TLS.KeyFile = ssltest.Write(t, e.folder, e.authority.Issue(t, "server", nil))
	e.cfg.TLS.TrustedFile = ssltest.Trust(t, e.folder, e.authority)
	if change != nil {
		change(&e.cfg)
	}
	return e
}

// client is a client's configuration.
func (e *encrypted) client(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: e.authority.Pool(), ServerName: "127.0.0.1", Certificates: certificates}
}

// secure is a TLS connection with the same helpers as a plain one.
type secure struct {
	*tls.Conn
	t testing.TB
}

func (e *encrypted) connect(t testing.TB, cfg *tls.Config) secure {
	t.Helper()
	s, err := e.try(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (e *encrypted) try(t testing.TB, cfg *tls.Config) (secure, error) {
	t.Helper()
	s := secure{tls.Client(e.dial(t), cfg), t}
	s.SetDeadline(time.Now().Add(patience))
	return s, s.Handshake()
}

func (s secure) send(b []byte) {
	s.t.Helper()
	if _, err := s.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

func (s secure) wantAnswer(correlation int32) {
	s.t.Helper()
	wantAnswerOf(s.t, s, correlation)
}

func wantAnswerOf(t testing.TB, r io.Reader, correlation int32) {
	t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatalf("read answer %d: %v", correlation, err)
	}
	size, got := be32(head[:]), int32(be32(head[4:]))
	if got != correlation {
		t.Fatalf("answer %d came, want %d", got, correlation)
	}
	if _, err := io.CopyN(io.Discard, r, int64(size)-4); err != nil {
		t.Fatal(err)
	}
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func (e *encrypted) serve(t testing.TB, correlations ...int32) {
	t.Helper()
	for _, want := range correlations {
		r := e.next(t)
		if r.correlation != want {
			t.Fatalf("request %d came, want %d", r.correlation, want)
		}
		e.answer(r)
	}
}

var bothVersions = map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

func eachVersion(t *testing.T, f func(t *testing.T, name string, version uint16)) {
	for name, version := range bothVersions {
		t.Run(name, func(t *testing.T) { f(t, name, version) })
	}
}

func only(cfg *tls.Config, version uint16) *tls.Config {
	cfg.MinVersion, cfg.MaxVersion = version, version
	return cfg
}

// Rows P1, P5, P24; testSslSocketServer: a request over either version, with the facts of the connection there before the request is.
func TestTLSRequest(t *testing.T) {
	eachVersion(t, func(t *testing.T, name string, version uint16) {
		e := startTLS(t, nil)
		c := e.connect(t, only(e.client(), version))
		c.send(request(1))
		r := e.next(t)
		if r.conn.TLSProtocol != name || r.conn.TLSCipher != tls.CipherSuiteName(c.ConnectionState().CipherSuite) {
			t.Errorf("%s %s, want %s %s", r.conn.TLSProtocol, r.conn.TLSCipher, name, tls.CipherSuiteName(c.ConnectionState().CipherSuite))
		}
		if r.conn.Principal != "User:ANONYMOUS" || r.conn.SecurityProtocol != "SSL" { // P17
			t.Errorf("%+v", r.conn)
		}
		if n := e.metric(t, "kanal_tls_connections", name, r.conn.TLSCipher); n != 1 {
			t.Errorf("the gauge has %v connections", n)
		}
		e.answer(r)
		c.wantAnswer(1)
		c.Close()
		e.closedFor(t, network.ReasonPeerClosed, 1)
		if n := e.metric(t, "kanal_tls_connections"); n != 0 {
			t.Errorf("the gauge keeps %v connections", n)
		}
	})
}

// Rows P11, P12: several requests in one record, one request in many records, both at once.
func TestTLSRecordsAreNotFrames(t *testing.T) {
	e := startTLS(t, nil)
	c := e.connect(t, e.client())
	c.send(requests(1, 5))
	e.serve(t, 1, 2, 3, 4, 5)
	big := request(6, make([]byte, 200_000)...)
	c.send(big[:3])
	for b := big[3:]; len(b) > 0; {
		n := min(len(b), 7777)
		c.send(b[:n])
		b = b[n:]
	}
	c.send(append(requests(7, 8), request(9)[:5]...))
	e.serve(t, 6, 7, 8)
	e.none(t)
	c.send(request(9)[5:])
	e.serve(t, 9)
	for i := range int32(9) {
		c.wantAnswer(i + 1)
	}
}

// Rows P14, P23: answers larger than any buffer.
func TestTLSLargeAnswers(t *testing.T) {
	e := startTLS(t, nil)
	c := e.connect(t, e.client())
	c.send(requests(1, 3))
	for range 3 {
		e.answer(e.next(t), make([]byte, 20<<20)...)
		time.Sleep(quiet) // the socket fills: what follows waits for it
		c.SetDeadline(time.Now().Add(patience))
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, 20<<20); err != nil {
			t.Fatal(err)
		}
	}
}

// Rows P3, P11: a handshake and requests that arrive byte by byte.
func TestTLSByteByByte(t *testing.T) {
	eachVersion(t, func(t *testing.T, _ string, version uint16) {
		e := startTLS(t, nil)
		c := secure{tls.Client(dribble{e.dial(t)}, only(e.client(), version)), t}
		c.SetDeadline(time.Now().Add(patience))
		c.send(requests(1, 2))
		e.serve(t, 1, 2)
		c.wantAnswer(1)
		c.wantAnswer(2)
	})
}

// dribble writes single bytes.
type dribble struct{ net.Conn }

func (d dribble) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// Row P7: plain bytes on a TLS port are named, in log and metric.
func TestPlaintextOnTLS(t *testing.T) {
	e := startTLS(t, nil)
	c := e.dial(t)
	c.send(request(1))
	c.wantEnd(true)
	e.closedFor(t, network.ReasonPlaintextOnTLS, 1)
	if !e.log.has("plaintext_on_tls", "WARN") {
		t.Error("the log does not name it")
	}
}

// Row P7; testUngracefulRemoteCloseDuringHandshakeRead, testGracefulRemoteCloseDuringHandshakeRead: a peer that goes away
// within the handshake failed no authentication.
func TestTLSHandshakeAborted(t *testing.T) {
	for name, abort := range map[string]func(client){
		"closed before a byte": func(c client) { c.Close() },
		"closed within hello":  func(c client) { c.send([]byte{0x16, 3, 1, 2}); c.Close() },
		"reset within hello":   func(c client) { c.send([]byte{0x16, 3, 1, 2}); c.reset() },
		"half closed":          func(c client) { c.send([]byte{0x16, 3, 1, 2}); c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			e := startTLS(t, nil)
			abort(e.dial(t))
			e.closedFor(t, network.ReasonHandshakeAborted, 1)
		})
	}
}

// Row P2, weakness 18: silent peers, and those that stop within the handshake, go by the deadline.
func TestTLSHandshakeDeadline(t *testing.T) {
	for name, hello := range map[string][]byte{"silent": nil, "half a hello": {0x16, 3, 1, 2, 0, 1}} {
		t.Run(name, func(t *testing.T) {
			e := startTLS(t, func(l *socketserver.ListenerConfig) { l.HandshakeTimeout = 50 * time.Millisecond })
			c := e.dial(t)
			c.send(hello)
			c.wantEnd(false)
			e.closedFor(t, network.ReasonTLSHandshakeDeadline, 1)
		})
	}
}

// The handshake has a deadline of its own; only then those of the first request and of idleness begin.
func TestTLSDeadlinesFollowEachOther(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) { l.FirstRequestTimeout = 80 * time.Millisecond })
	c := e.dial(t)
	time.Sleep(120 * time.Millisecond) // longer than the first request may take
	s := secure{tls.Client(c, e.client()), t}
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	e.closedFor(t, network.ReasonFirstRequestDeadline, 1)
}

// Row P15: our closes say goodbye: a client knows the end from a cut.
func TestTLSCloseNotify(t *testing.T) {
	for reason, change := range map[network.CloseReason]func(*socketserver.ListenerConfig){
		network.ReasonIdleExpired: func(l *socketserver.ListenerConfig) { l.MaxIdle = 50 * time.Millisecond },
		network.ReasonShutdown:    nil,
	} {
		t.Run(reason.String(), func(t *testing.T) {
			e := startTLS(t, change)
			raw := &counting{Conn: e.dial(t)}
			c := secure{tls.Client(raw, e.client()), t}
			c.SetDeadline(time.Now().Add(patience))
			c.send(request(1))
			e.serve(t, 1)
			c.wantAnswer(1)
			raw.read = 0
			if reason == network.ReasonShutdown {
				drain(t, e.server)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%d bytes and %v", n, err)
			}
			if raw.read == 0 {
				t.Error("the end came without a record")
			}
		})
	}
}

type counting struct {
	net.Conn
	read int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

// Rows J1, P11: requests before the peer's close_notify or half close are served, then the connection ends.
func TestTLSHalfClose(t *testing.T) {
	for name, end := range map[string]func(secure){
		"close_notify":         func(c secure) { c.CloseWrite() },
		"close_notify and FIN": func(c secure) { c.CloseWrite(); c.NetConn().(client).TCPConn.CloseWrite() },
		"FIN":                  func(c secure) { c.NetConn().(client).TCPConn.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			e := startTLS(t, nil)
			c := e.connect(t, e.client())
			c.send(append(requests(1, 3), request(4)[:9]...))
			end(c)
			e.serve(t, 1, 2, 3)
			for i := range int32(3) {
				c.wantAnswer(i + 1)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%d bytes and %v", n, err)
			}
			e.closedFor(t, network.ReasonPeerClosed, 1)
			e.none(t)
		})
	}
}

// Rows P6, P8, P16, P17, P19: what is asked of clients, and who they are then. Nobody asks where a client is at home
// (testClientEndpointNotValidated), and no name is looked up for it. The log says whose certificate was refused
// (CommonNameLoggingTrustManagerFactoryWrapperTest).
func TestTLSClientCertificates(t *testing.T) {
	stranger := ssltest.NewAuthority(t, "stranger")
	const anonymous, refused = "User:ANONYMOUS", ""
	for _, c := range []struct{ auth, certificate, principal string }{
		{"none", "none", anonymous}, {"none", "trusted", anonymous}, {"none", "untrusted", anonymous},
		{"requested", "none", anonymous}, {"requested", "trusted", "User:CN=client,O=Kanal"}, {"requested", "untrusted", refused},
		{"required", "none", refused}, {"required", "trusted", "User:CN=client,O=Kanal"}, {"required", "untrusted", refused},
		{"required", "expired", refused}, {"required", "of another host", "User:CN=client,O=Kanal"},
	} {
		t.Run(c.auth+" and "+c.certificate, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, _ string, version uint16) {
				e := startTLS(t, func(l *socketserver.ListenerConfig) { l.TLS.ClientAuth = c.auth })
				cfg := only(e.client(), version)
				var certificate tls.Certificate
				switch c.certificate {
				case "trusted":
					certificate = e.authority.Issue(t, "client", nil)
				case "untrusted":
					certificate = stranger.Issue(t, "client", nil)
				case "of another host":
					certificate = e.authority.Issue(t, "client", func(x *x509.Certificate) {
						x.DNSNames, x.IPAddresses = []string{"other.example"}, []net.IP{net.IPv4(192, 0, 2, 1)}
					})
				case "expired":
					certificate = e.authority.Issue(t, "client", func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) })
				}
				// Whatever the server says that it trusts.
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
				s, err := e.try(t, cfg)
				if c.principal == refused {
					wantRefused(t, e, s, err)
					if c.certificate != "none" && !e.log.has("tls_certificate_refused", "CN=client,O=Kanal") {
						t.Error("the log does not say whose certificate it was")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				s.send(request(1))
				if r := e.next(t); r.conn.Principal != c.principal {
					t.Errorf("principal %s", r.conn.Principal)
				}
			})
		})
	}
}

// wantRefused: the alert reaches the client, in TLS 1.3 after it believes that the handshake is over, and though it has
// sent a request already (P6, P8).
func wantRefused(t *testing.T, e *encrypted, s secure, err error) {
	t.Helper()
	if err == nil {
		s.Write(request(1)) // may fail or not
		e.closedFor(t, network.ReasonTLSCertificateRefused, 1)
		_, err = s.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
		t.Errorf("the client saw %v, no alert", err)
	}
	e.closedFor(t, network.ReasonTLSCertificateRefused, 1)
	if !e.log.has("tls_certificate_refused", "err=") {
		t.Error("the log has no reason")
	}
	e.none(t)
}

// Row P24; testTlsDefaults, testCiphersSuiteFailForServerTls12ClientTls13: the highest version in common, or none.
func TestTLSVersions(t *testing.T) {
	lists := [][]string{{"TLSv1.2"}, {"TLSv1.3"}, {"TLSv1.2", "TLSv1.3"}, nil}
	span := func(list []string) (uint16, uint16) {
		if len(list) == 0 {
			return tls.VersionTLS12, tls.VersionTLS13
		}
		return bothVersions[list[0]], bothVersions[list[len(list)-1]]
	}
	for _, server := range lists {
		for _, peer := range lists {
			t.Run(strings.Join(server, " ")+" and "+strings.Join(peer, " "), func(t *testing.T) {
				e := startTLS(t, func(l *socketserver.ListenerConfig) { l.TLS.EnabledProtocols = server })
				cfg := e.client()
				cfg.MinVersion, cfg.MaxVersion = span(peer)
				low, high := span(server)
				s, err := e.try(t, cfg)
				if want := min(high, cfg.MaxVersion); want >= max(low, cfg.MinVersion) {
					if err != nil || s.ConnectionState().Version != want {
						t.Errorf("%x and %v, want %x", s.ConnectionState().Version, err, want)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
					t.Errorf("the client saw %v", err)
				}
				e.closedFor(t, network.ReasonTLSHandshakeFailed, 1)
			})
		}
	}
}
