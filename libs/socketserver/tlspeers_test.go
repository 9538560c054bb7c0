package socketserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kanal/libs/memory"
	"kanal/libs/network"
	"kanal/libs/socketserver"
	"kanal/libs/ssl/ssltest"
)

// testValidEndpointIdentificationSanDns, ...SanIp, ...CN, testEndpointIdentificationNoReverseLookup,
// testInvalidEndpointIdentification, testEndpointIdentificationDisabled: what a client that checks our name finds in the
// certificate that it is shown. The client is openssl, which takes the common name where there are no other names.
func TestTLSClientsCheckOurName(t *testing.T) {
	for name, c := range map[string]struct {
		dns, ip, cn string
		check       []string
		ok          bool
	}{
		"name":            {"kanal.example", "", "x", []string{"-verify_hostname", "kanal.example"}, true},
		"address":         {"", "127.0.0.1", "x", []string{"-verify_ip", "127.0.0.1"}, true},
		"common name":     {"", "", "kanal.example", []string{"-verify_hostname", "kanal.example"}, true},
		"no name by ip":   {"localhost", "", "localhost", []string{"-verify_ip", "127.0.0.1"}, false},
		"another name":    {"other.example", "", "kanal.example", []string{"-verify_hostname", "kanal.example"}, false},
		"nothing checked": {"other.example", "", "x", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEncrypted(t, nil)
			ssltest.Write(t, e.folder, e.authority.Issue(t, "", func(x *x509.Certificate) {
				x.Subject, x.DNSNames, x.IPAddresses = pkix.Name{CommonName: c.cn}, nil, nil
				if c.dns != "" {
					x.DNSNames = []string{c.dns}
				}
				if c.ip != "" {
					x.IPAddresses = []net.IP{net.ParseIP(c.ip)}
				}
			}))
			e.fixture = start(t, e.cfg)
			out := e.sClient(t, func(io.Writer, *logBuffer) {}, append([]string{"-CAfile", e.cfg.TLS.TrustedFile, "-verify_return_error"}, c.check...)...)
			if ok := strings.Contains(out, "Verify return code: 0 (ok)"); ok != c.ok || !ok && !strings.Contains(out, "mismatch") {
				t.Error(out)
			}
		})
	}
}

// afterHello leaves as soon as it has said hello: the server finds it gone when it writes its part of the handshake.
type afterHello struct {
	client
	leave func(client)
}

func (c afterHello) Write(b []byte) (int, error) {
	n, err := c.client.Write(b)
	c.leave(c.client)
	return n, err
}

// Row P7; testUngracefulRemoteCloseDuringHandshakeWrite, testGracefulRemoteCloseDuringHandshakeWrite: nor is it an
// authentication that failed when the server's part of the handshake finds nobody.
func TestTLSHandshakeWithoutReader(t *testing.T) {
	for name, leave := range map[string]func(client){
		"closed": func(c client) { c.Close() }, "reset": client.reset, "half closed": func(c client) { c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			e := startTLS(t, nil)
			if err := tls.Client(afterHello{e.dial(t), leave}, e.client()).Handshake(); err == nil {
				t.Fatal("the handshake came to its end")
			}
			e.closedFor(t, network.ReasonHandshakeAborted, 1)
		})
	}
}

// Row P9: the delay of failed authentications is for logins; what fails in TLS ends at once.
func TestTLSFailureIsNotDelayed(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) {
		login := secured(newObedient())
		l.SecurityProtocol, l.Authentication, l.MaxReceiveBeforeLogin = "SASL_SSL", login.Authentication, login.MaxReceiveBeforeLogin
		l.FailedAuthenticationDelay, l.TLS.ClientAuth = time.Hour, "required"
	})
	plain := e.dial(t)
	plain.send(request(1))
	plain.wantEnd(true)
	e.closedFor(t, network.ReasonPlaintextOnTLS, 1)
	eachVersion(t, func(t *testing.T, _ string, version uint16) {
		s, err := e.try(t, only(e.client(), version))
		if err == nil {
			_, err = s.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
			t.Errorf("the client saw %v, no alert", err)
		}
	})
	e.closedFor(t, network.ReasonTLSCertificateRefused, 2)
}

// Row P18: without a login there is nobody to authenticate, and no handshake to wait for over plaintext.
func TestConnectionsWithoutLogin(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{HandshakeTimeout: time.Nanosecond})
	c := f.dial(t)
	c.send(request(1))
	r := f.next(t)
	if r.conn.Principal != "User:ANONYMOUS" || r.conn.SecurityProtocol != "PLAINTEXT" || r.conn.TLSProtocol != "" {
		t.Errorf("%+v", r.conn)
	}
	f.answer(r)
	c.wantAnswer(1)
	if n := f.metric(t, "kanal_authentications_total") + f.metric(t, "kanal_tls_connections"); n != 0 {
		t.Errorf("%v counted", n)
	}
}

// testServerRequestMetrics: bytes are those of the requests and answers, not those of TLS, and all connections count.
func TestTLSTrafficIsCounted(t *testing.T) {
	e := startTLS(t, nil)
	c := e.connect(t, e.client())
	sent := 0
	for i := range int32(10) {
		b := request(i, make([]byte, 1000*int(i))...)
		sent += len(b)
		c.send(b)
		e.serve(t, i)
		c.wantAnswer(i)
	}
	if n := e.metric(t, "kanal_processor_received_bytes_total"); n != float64(sent) {
		t.Errorf("%v bytes received, %d sent", n, sent)
	}
	if n := e.metric(t, "kanal_processor_requests_total"); n != 10 {
		t.Errorf("%v requests", n)
	}
	if n := e.metric(t, "kanal_connections_accepted_total"); n != 1 {
		t.Errorf("%v connections accepted", n)
	}
}

// Row P12; testBytesBufferedChannelWithNoIncomingBytes, testBytesBufferedChannelAfterMute: bytes that TLS keeps and
// nobody can use yet let the loop sleep: half a record, half a record behind a frame's half, records of a muted channel.
func TestTLSKeptBytesLetTheLoopSleep(t *testing.T) {
	e := startTLS(t, nil)
	half, halves, muted := e.connect(t, e.client()), e.connect(t, e.client()), e.connect(t, e.client())
	halves.send(request(1)[:7])
	for _, c := range []secure{half, halves} {
		c.NetConn().(client).send([]byte{0x17, 3, 3, 1, 0, 1, 2, 3}) // of 256 bytes
	}
	muted.send(requests(1, 3))
	e.next(t)
	muted.send(requests(4, 6))
	muted.NetConn().(client).send([]byte{0x17, 3, 3, 1, 0, 1, 2, 3})
	time.Sleep(quiet)
	before := processorTime(t)
	time.Sleep(10 * quiet)
	if used := processorTime(t) - before; used > quiet {
		t.Errorf("%v of processor time in %v of idleness", used, 10*quiet)
	}
}

// G6; testMuteOnOOM over TLS: when the budget is used up nothing more is read, and every answer lets the next in.
func TestTLSNothingIsReadBeyondTheBudget(t *testing.T) {
	const limit, each, clients = mib, 40 * kib, 60
	e := newEncrypted(t, nil)
	var b *bank
	e.fixture, b = startBank(t, limit, e.cfg)
	whole := request(1, make([]byte, each)...)
	var all []secure
	for range clients {
		all = append(all, e.connect(t, e.client()))
	}
	for _, c := range all {
		go c.Write(whole)
	}
	eventually(t, "the budget is used up", func() bool { return b.budget.Waiting() == 1 })
	for range clients {
		if most := int64(limit + memory.PassBytes + 2*len(whole)); b.budget.Used() > most {
			t.Errorf("%d used, want at most %d", b.budget.Used(), most)
		}
		b.answer(e.next(t))
	}
	e.none(t)
	b.wantUsed(t, 0)
}
