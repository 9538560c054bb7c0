package socketserver_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
	"kanal/libs/ssl/ssltest"
)

// sClient runs openssl s_client against the listener and hands its input over; output is what it printed. Where openssl
// is missing the test is skipped; in CI that is a failure.
func (e *encrypted) sClient(t *testing.T, talk func(w io.Writer, printed *logBuffer), args ...string) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("openssl is missing, and CI=true")
	} else if err != nil {
		t.Skip("openssl is missing")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"s_client", "-connect", e.server.Addr("TEST", 0).String()}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	talk(in, out)
	in.Close()
	_ = cmd.Wait() // its exit code says little
	return out.b.String()
}

// Row P13; testKeyUpdate: K asks for new keys in both directions, in the middle of requests.
func TestTLSKeyUpdate(t *testing.T) {
	e := startTLS(t, nil)
	e.sClient(t, func(w io.Writer, printed *logBuffer) {
		for i := range int32(5) {
			w.Write([]byte("K\n"))
			eventually(t, "openssl has new keys", func() bool { return printed.count("KEYUPDATE") == int(i)+1 })
			w.Write(request(i))
			e.serve(t, i)
		}
	}, "-tls1_3")
	e.closedFor(t, network.ReasonPeerClosed, 1)
}

// Row P13; testRenegotiationFails.
func TestTLSRenegotiationIsRefused(t *testing.T) {
	e := startTLS(t, nil)
	out := e.sClient(t, func(w io.Writer, _ *logBuffer) {
		w.Write([]byte("R\n"))
		e.closedFor(t, network.ReasonTLSFailed, 1)
	}, "-tls1_2")
	if !strings.Contains(out, "RENEGOTIATING") || !strings.Contains(out, "alert") {
		t.Errorf("openssl saw no alert: %s", out)
	}
	if !e.log.has("tls_failed", "err=") {
		t.Error("the log has no reason")
	}
}

// Row P8: the peer's alert is in our log.
func TestTLSAlertOfThePeerIsLogged(t *testing.T) {
	e := startTLS(t, nil)
	cfg := e.client()
	cfg.RootCAs = ssltest.NewAuthority(t, "another").Pool() // the client refuses our certificate
	if _, err := e.try(t, cfg); err == nil {
		t.Fatal("the client trusts anybody")
	}
	e.closedFor(t, network.ReasonTLSHandshakeFailed, 1)
	if !e.log.has("tls_handshake_failed", "remote error", "bad certificate") {
		t.Error("the alert is not in the log")
	}
}

// testUnsupportedCiphers, testCiphersSuiteForTls12, testCiphersSuiteForTls13, testCiphersSuiteForTls12FailsForTls13:
// suites of TLS 1.2 by setting; those of TLS 1.3 are always there.
func TestTLSCipherSuites(t *testing.T) {
	const ours = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
	e := startTLS(t, func(l *socketserver.ListenerConfig) { l.TLS.CipherSuites = []string{ours} })
	cfg := only(e.client(), tls.VersionTLS12)
	if c := e.connect(t, cfg); tls.CipherSuiteName(c.ConnectionState().CipherSuite) != ours {
		t.Errorf("suite %s", tls.CipherSuiteName(c.ConnectionState().CipherSuite))
	}
	if c := e.connect(t, only(e.client(), tls.VersionTLS13)); !strings.HasPrefix(tls.CipherSuiteName(c.ConnectionState().CipherSuite), "TLS_AES") {
		t.Errorf("suite %s", tls.CipherSuiteName(c.ConnectionState().CipherSuite))
	}
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
	if _, err := e.try(t, cfg); err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Errorf("the client saw %v", err)
	}
	e.closedFor(t, network.ReasonTLSHandshakeFailed, 1)
}

// Row P17: rules, and a name that none of them maps.
func TestTLSPrincipalRules(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) {
		l.TLS.ClientAuth, l.TLS.PrincipalRules = "required", "RULE:CN=(.*?),OU=staff.*/$1/U"
	})
	staff := func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "ann", OrganizationalUnit: []string{"staff"}}
	}
	c := e.connect(t, e.client(e.authority.Issue(t, "", staff)))
	c.send(request(1))
	if r := e.next(t); r.conn.Principal != "User:ANN" {
		t.Errorf("principal %s", r.conn.Principal)
	}
	c = e.connect(t, e.client(e.authority.Issue(t, "guest", nil)))
	c.Write(request(2))
	e.closedFor(t, network.ReasonTLSCertificateRefused, 1)
	if !e.log.has("tls_certificate_refused", "no principal mapping rule") {
		t.Error("the log has no reason")
	}
	e.none(t)
}

// Row P21; testServerKeystoreDynamicUpdate: a changed certificate is for new connections, old ones go on.
func TestTLSCertificatesChange(t *testing.T) {
	e := startTLS(t, nil)
	serial := func(s secure) string { return s.ConnectionState().PeerCertificates[0].SerialNumber.String() }
	old := e.connect(t, e.client())
	ssltest.Write(t, e.folder, e.authority.Issue(t, "server", nil))
	eventually(t, "the change is noticed", func() bool {
		return e.metric(t, "kanal_tls_certificate_loads_total", "loaded") == 1
	})
	if changed := e.connect(t, e.client()); serial(changed) == serial(old) {
		t.Error("a new connection has the old certificate")
	}
	old.send(request(1))
	e.serve(t, 1)
	old.wantAnswer(1)

	other := e.cfg.TLS
	other.CertificateFile, other.KeyFile = ssltest.Write(t, t.TempDir(), e.authority.Issue(t, "another", nil))
	if err := e.server.UpdateTLS("TEST", other); err == nil || !strings.Contains(err.Error(), "subject") {
		t.Errorf("another subject: %v", err)
	}
	if e.metric(t, "kanal_tls_certificate_loads_total", "refused") != 1 {
		t.Error("the refusal is not counted")
	}
	other.AllowDNChanges = true
	if err := e.server.UpdateTLS("TEST", other); err != nil {
		t.Fatal(err)
	}
	if c := e.connect(t, e.client()); c.ConnectionState().PeerCertificates[0].Subject.CommonName != "another" {
		t.Error("a new connection has the old certificate")
	}
	if err := e.server.UpdateTLS("NONE", other); !errors.Is(err, socketserver.ErrNoListener) {
		t.Error(err)
	}
	if err := start(t).server.UpdateTLS("TEST", other); !errors.Is(err, socketserver.ErrNoTLS) {
		t.Error(err)
	}
}

// A session is resumed without a new exchange of certificates, and the client stays who it was.
func TestTLSResumption(t *testing.T) {
	eachVersion(t, func(t *testing.T, _ string, version uint16) {
		e := startTLS(t, func(l *socketserver.ListenerConfig) { l.TLS.ClientAuth = "required" })
		cfg := only(e.client(e.authority.Issue(t, "client", nil)), version)
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range int32(2) {
			c := e.connect(t, cfg)
			c.send(request(i))
			r := e.next(t)
			if r.conn.Principal != "User:CN=client,O=Kanal" || c.ConnectionState().DidResume != (i == 1) {
				t.Errorf("%d: %s, resumed %t", i, r.conn.Principal, c.ConnectionState().DidResume)
			}
			e.answer(r)
			c.wantAnswer(i)
			c.Close()
		}
	})
}

// TLS connections move to another processor with all that TLS holds of theirs.
func TestTLSConnectionsMoveWithWhatTheyHold(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) { l.Processors = 3 })
	var all []secure
	for range 9 {
		all = append(all, e.connect(t, e.client()))
	}
	for i, c := range all {
		c.send(append(request(int32(i)), request(100)[:7]...)) // and half a request
		e.serve(t, int32(i))
		c.wantAnswer(int32(i))
	}
	hello := e.dial(t)
	hello.send([]byte{0x16, 3, 1}) // within its handshake
	e.resize(t, 1)
	e.wantProcessors(t, 1)
	for _, c := range all {
		c.send(request(100)[7:])
		e.serve(t, 100)
		c.wantAnswer(100)
	}
}

// A thousand clients that go away anywhere in handshake or requests leave nothing; the fixture counts descriptors, and
// TestMain goroutines.
func TestTLSRandomDisconnects(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) {
		l.Processors, l.TLS.ClientAuth, l.HandshakeTimeout = 2, "requested", 200*time.Millisecond
	})
	before := runtime.NumGoroutine()
	certificate := e.authority.Issue(t, "client", nil)
	addr := e.server.Addr("TEST", 0).String()
	var clients, answering sync.WaitGroup
	stop := make(chan struct{})
	answering.Go(func() {
		for {
			select {
			case r := <-e.requests:
				e.answer(r)
			case <-stop:
				return
			}
		}
	})
	for worker := range uint64(8) {
		clients.Go(func() {
			chance := rand.New(rand.NewPCG(worker, 1))
			for range 125 {
				raw, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				cut := &cutting{TCPConn: raw.(*net.TCPConn), left: chance.IntN(4000), reset: chance.IntN(2) == 0}
				c := tls.Client(cut, e.client(certificate))
				for c.Handshake() == nil && cut.left > 0 {
					c.Write(request(1, make([]byte, 50)...))
				}
				raw.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "all connections are closed", func() bool { return e.metric(t, "kanal_connections") == 0 })
	close(stop)
	answering.Wait()
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	if n := e.metric(t, "kanal_connections_accepted_total") - e.metric(t, "kanal_connections_closed_total"); n != 0 {
		t.Errorf("%v closes are missing", n)
	}
}

// cutting goes away after so many bytes.
type cutting struct {
	*net.TCPConn
	left  int
	reset bool
}

func (c *cutting) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.TCPConn.Write(b[:n])
	if c.left -= n; c.left == 0 {
		if c.reset {
			c.SetLinger(0)
		}
		c.TCPConn.Close()
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// Weakness 9, unlike row P4: however many handshakes are under way and stand still, the established are served, and who
// comes later has a turn when the others are over.
func TestTLSHandshakeFlood(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) { l.HandshakeTimeout = time.Hour })
	established := e.connect(t, e.client())
	var flood []client
	for range 1100 { // more than may be under way
		c := e.dial(t)
		c.send([]byte{0x16, 3, 1, 2, 0, 1, 0, 1})
		flood = append(flood, c)
	}
	eventually(t, "all are there", func() bool { return e.metric(t, "kanal_tls_handshakes_waiting") == 1100-1024 })
	for i := range int32(10) {
		established.send(request(i))
		e.serve(t, i)
		established.wantAnswer(i)
	}
	late := secure{tls.Client(e.dial(t), e.client()), t}
	late.SetDeadline(time.Now().Add(patience))
	over := make(chan error, 1)
	go func() { over <- late.Handshake() }()
	eventually(t, "who comes later waits", func() bool { return e.metric(t, "kanal_tls_handshakes_waiting") == 1101-1024 })
	for _, c := range flood {
		c.Close()
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	late.send(request(11))
	e.serve(t, 11)
	late.wantAnswer(11)
	e.closedFor(t, network.ReasonHandshakeAborted, 1100)
}

// TLS answers as plaintext does: the same requests, cut into records and pieces anywhere, answered with any sizes, bring
// the same bytes back.
func TestTLSAnswersLikePlaintext(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var got [2][]byte
			for i, listener := range []func() (*fixture, net.Conn){
				func() (*fixture, net.Conn) { f := start(t); return f, f.dial(t).TCPConn },
				func() (*fixture, net.Conn) {
					e := startTLS(t, nil)
					raw := &ragged{Conn: e.dial(t).TCPConn, chance: rand.New(rand.NewPCG(seed, 2))}
					cfg := only(e.client(), []uint16{tls.VersionTLS12, tls.VersionTLS13}[seed%2])
					return e.fixture, tls.Client(raw, cfg)
				},
			} {
				f, conn := listener()
				got[i] = talk(t, f, conn, rand.New(rand.NewPCG(seed, 1)))
			}
			if !bytes.Equal(got[0], got[1]) {
				t.Fatalf("%d bytes over plaintext, %d over TLS, not the same", len(got[0]), len(got[1]))
			}
		})
	}
}

// ragged cuts what is written anywhere.
type ragged struct {
	net.Conn
	chance *rand.Rand
}

func (r *ragged) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 1+r.chance.IntN(1<<r.chance.IntN(16)))
		if _, err := r.Conn.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func talk(t *testing.T, f *fixture, conn net.Conn, chance *rand.Rand) (all []byte) {
	t.Helper()
	const n = 60
	var stream []byte
	for i := range int32(n) {
		stream = append(stream, request(i, make([]byte, chance.IntN(1<<chance.IntN(19)))...)...)
	}
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = chance.IntN(1 << chance.IntN(20))
	}
	var pieces []int
	for left := len(stream); left > 0; left -= pieces[len(pieces)-1] {
		pieces = append(pieces, min(left, 1+chance.IntN(1<<chance.IntN(18))))
	}
	var work sync.WaitGroup
	work.Go(func() {
		for _, size := range sizes {
			r := <-f.requests
			f.answer(r, bytes.Repeat([]byte{byte(r.correlation)}, size)...)
		}
	})
	work.Go(func() {
		for _, n := range pieces {
			if _, err := conn.Write(stream[:n]); err != nil {
				t.Error(err)
				return
			}
			stream = stream[n:]
		}
	})
	want := 0
	for _, size := range sizes {
		want += 8 + size
	}
	conn.SetReadDeadline(time.Now().Add(6 * patience))
	all = make([]byte, want)
	if _, err := io.ReadFull(conn, all); err != nil {
		t.Fatal(err)
	}
	work.Wait()
	return all
}
