package frontend

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
	"kanal/libs/sasl"
	"kanal/libs/ssl/ssltest"
)

// secured starts a front end whose listener TEST asks who its clients are: bob, by PLAIN or SCRAM. Changes of a nil
// value take a variable away.
func secured(t *testing.T, variables map[string]string) *fixture {
	t.Helper()
	hash, err := sasl.NewScramCredential(sasl.ScramSHA256, "builder", sasl.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	content := "bob:PLAIN=builder\nann:PLAIN=builder\nbob:SCRAM-SHA-256=" + hash.String() + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		"KANAL_LISTENER_TEST_PROTOCOL": "SASL_PLAINTEXT", "KANAL_LISTENER_TEST_SASL_MECHANISMS": "PLAIN,SCRAM-SHA-256",
		"KANAL_LISTENER_TEST_SASL_FAILURE_DELAY": "10ms", "KANAL_SASL_CREDENTIALS_FILE": file,
	}
	for name, value := range variables {
		all[name] = value
	}
	return start(t, all)
}

func (c client) handshake(mechanism string, version int16) *kmsg.SASLHandshakeResponse {
	c.t.Helper()
	q := kmsg.NewPtrSASLHandshakeRequest()
	q.SetVersion(version)
	q.Mechanism = mechanism
	return c.ask(q).(*kmsg.SASLHandshakeResponse)
}

func (c client) authenticate(token string, version int16) *kmsg.SASLAuthenticateResponse {
	c.t.Helper()
	q := kmsg.NewPtrSASLAuthenticateRequest()
	q.SetVersion(version)
	q.SASLAuthBytes = []byte(token)
	return c.ask(q).(*kmsg.SASLAuthenticateResponse)
}

func (c client) login(user string) *kmsg.SASLAuthenticateResponse {
	c.t.Helper()
	if r := c.handshake("PLAIN", 1); r.ErrorCode != 0 {
		c.t.Fatalf("handshake: %+v", r)
	}
	return c.authenticate("\x00"+user+"\x00builder", 2)
}

// principalOf asks for metadata, and a handler for whom.
func (f *fixture) principalOf(c client) string {
	f.t.Helper()
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(1)
	c.ask(q)
	r := f.next()
	return r.Origin.Principal
}

// Every version of handshake and authentication, after ApiVersions and without it, leads to requests of the user (N5,
// N6, N7, N8, N12; testUnauthenticatedApiVersionsRequestOver...HandshakeVersion0 and 1,
// testValidSaslPlainOverPlaintext, testApiVersionsRequestBeforeSaslHandshakeRequest).
func TestLoginOfEveryVersion(t *testing.T) {
	f := secured(t, nil)
	for _, asks := range []int16{-1, 0, 3, 5} {
		for version := int16(-1); version <= 2; version++ {
			c := f.dial()
			if asks >= 0 {
				if r := c.ask(apiVersions(asks, "tester")).(*kmsg.ApiVersionsResponse); r.ErrorCode != 0 || len(r.ApiKeys) != 5 {
					t.Errorf("ApiVersions: %+v", r)
				}
			}
			if version < 0 {
				c.handshake("PLAIN", 0)
				c.send([]byte("\x00bob\x00builder"))
				if answer := c.receive(); len(answer) != 0 {
					t.Errorf("%x", answer)
				}
			} else if c.handshake("PLAIN", 1); c.authenticate("\x00bob\x00builder", version).ErrorCode != 0 {
				t.Errorf("version %d refused", version)
			}
			if who := f.principalOf(c); who != "User:bob" {
				t.Errorf("ApiVersions %d, version %d: handlers see %q", asks, version, who)
			}
		}
	}
}

// What has no place before a login closes the connection, without an answer and without a handler (N3, N4, N5, N10,
// N20; testDisallowedKafkaRequestsBeforeAuthentication, testInvalidSaslPacket, testPacketSizeTooBig,
// testSaslHandshakeRequestWithUnsupportedVersion).
func TestBeforeLogin(t *testing.T) {
	f := secured(t, nil)
	handshake := append([]byte{0, 5}, "PLAIN"...)
	for _, c := range []struct {
		name, reason string
		frames       [][]byte // the last is answered by the end
	}{
		{"Metadata", "illegal_sasl_state", [][]byte{header(protocol.Metadata, 1, 1, ptr("x"))}},
		{"Metadata after the handshake", "illegal_sasl_state", [][]byte{header(protocol.SaslHandshake, 1, 1, ptr("x"), handshake...), header(protocol.Metadata, 1, 1, ptr("x"))}},
		{"noise", "unsupported_mechanism", [][]byte{[]byte("noise that is no request")}},
		{"noise after the handshake", "invalid_request", [][]byte{header(protocol.SaslHandshake, 1, 1, ptr("x"), handshake...), []byte("noise that is no request")}},
		{"a handshake of the future", "invalid_request", [][]byte{header(protocol.SaslHandshake, 32767, 1, ptr("x"), handshake...)}},
		{"ApiVersions twice", "illegal_sasl_state", [][]byte{header(protocol.ApiVersions, 0, 1, ptr("x")), header(protocol.ApiVersions, 0, 2, ptr("x"))}},
		{"too large", "invalid_size", [][]byte{make([]byte, 524289)}},
	} {
		before := f.closed(c.reason)
		conn := f.dial()
		for i, frame := range c.frames {
			if conn.send(frame); i < len(c.frames)-1 {
				conn.receive()
			}
		}
		conn.wantEnd()
		f.closedFor(c.reason, before+1)
	}
	conn := f.dial()
	_, _ = conn.Write([]byte{0x7f, 0xff, 0xff, 0xff})
	conn.wantEnd()
	f.untouched()
}

// Refusals say what they may (N6, N7; testInvalidPasswordSaslPlain, testInvalidUsernameSaslPlain, testDisabledMechanism,
// testInvalidMechanism, testInvalidPasswordSaslScram).
func TestRefusedLogin(t *testing.T) {
	f := secured(t, nil)
	for _, name := range []string{"SCRAM-SHA-512", "BOGUS"} {
		c := f.dial()
		if r := c.handshake(name, 1); r.ErrorCode != 33 || len(r.SupportedMechanisms) != 2 {
			t.Errorf("%s: %+v", name, r)
		}
		c.wantEnd()
	}
	for _, token := range []string{"\x00bob\x00guess", "\x00eve\x00builder"} {
		c := f.dial()
		c.handshake("PLAIN", 1)
		if r := c.authenticate(token, 1); r.ErrorCode != 58 || *r.ErrorMessage != "Authentication failed: Invalid username or password" {
			t.Errorf("%q: %+v", token, r)
		}
		c.wantEnd()
	}
	f.closedFor("unsupported_mechanism", 2)
	f.closedFor("authentication_failed", 2)
}

// L8 and the option that Kafka lacks: what clients learn before they have logged in, and that all is told after.
func TestAPIsBeforeLogin(t *testing.T) {
	f := secured(t, map[string]string{"KANAL_LISTENER_TEST_SASL_APIS_BEFORE_LOGIN": "authentication"})
	c := f.dial()
	if got := offered(c.ask(apiVersions(3, "tester"))); len(got) != 3 || got[protocol.SaslAuthenticate].Max != 2 {
		t.Errorf("before: %v", got)
	}
	c.login("bob")
	if got := offered(c.ask(apiVersions(3, "tester"))); len(got) != 5 {
		t.Errorf("after: %v", got)
	}
}

// ApiVersions with an error may be asked again (N5; testApiVersionsRequestWithServerUnsupportedVersion,
// testInvalidApiVersionsRequest, testValidApiVersionsRequest, testApiVersionsRequestWithUnsupportedVersion).
func TestApiVersionsBeforeLogin(t *testing.T) {
	f := secured(t, nil)
	c := f.dial()
	c.send(header(protocol.ApiVersions, 32767, 1, ptr("x")))
	if answer := c.receive(); answer[5] != 35 {
		t.Errorf("%x", answer)
	}
	if r := c.ask(apiVersions(3, " ")).(*kmsg.ApiVersionsResponse); r.ErrorCode != 42 {
		t.Errorf("%+v", r)
	}
	if r := c.ask(apiVersions(3, "tester")).(*kmsg.ApiVersionsResponse); r.ErrorCode != 0 {
		t.Errorf("%+v", r)
	}
	c.login("bob")
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(1)
	c.ask(q)
	if got := f.next().Origin.SoftwareName; got != "tester" {
		t.Errorf("handlers see software %q", got)
	}
}

// N19: out of place both are answered 34, on listeners with a login and without, and the connection goes on.
func TestAuthenticationOutOfPlace(t *testing.T) {
	in := secured(t, nil).dial()
	in.login("bob")
	for _, c := range []client{in, start(t, map[string]string{"KANAL_LISTENER_TEST_PROTOCOL": "PLAINTEXT"}).dial()} {
		for version := int16(0); version <= 1; version++ {
			if r := c.handshake("PLAIN", version); r.ErrorCode != 34 {
				t.Errorf("%+v", r)
			}
		}
		for version := int16(0); version <= 2; version++ {
			if r := c.authenticate("", version); r.ErrorCode != 34 {
				t.Errorf("%+v", r)
			}
		}
		if r := c.ask(apiVersions(3, "tester")).(*kmsg.ApiVersionsResponse); r.ErrorCode != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// A session's end, for a client that authenticates again and for one that does not (N13, N14, N15, N17;
// testSaslReauthenticationFailureWithKip152SaslAuthenticate, testSaslReauthenticationFailureNoKip152SaslAuthenticate,
// testCannotReauthenticateWithDifferentPrincipal, testCannotReauthenticateWithDifferentMechanism).
func TestSessionsEnd(t *testing.T) {
	const life = 300 * time.Millisecond
	f := secured(t, map[string]string{"KANAL_LISTENER_TEST_SASL_MAX_REAUTH": life.String()})
	raw, idle, renewing, other, changing := f.dial(), f.dial(), f.dial(), f.dial(), f.dial()
	raw.handshake("PLAIN", 0)
	raw.send([]byte("\x00bob\x00builder"))
	raw.receive()
	for _, c := range []client{idle, renewing, other, changing} {
		if r := c.login("bob"); r.SessionLifetimeMillis != life.Milliseconds() {
			t.Errorf("%+v", r)
		}
	}
	if who := f.principalOf(renewing); who != "User:bob" {
		t.Error(who)
	}
	time.Sleep(life + 50*time.Millisecond) // the sessions' own time
	if r := renewing.login("bob"); r.ErrorCode != 0 {
		t.Errorf("%+v", r)
	}
	if who := f.principalOf(renewing); who != "User:bob" {
		t.Error(who)
	}
	if r := other.login("ann"); r.ErrorCode != 58 {
		t.Errorf("another principal: %+v", r)
	}
	other.wantEnd()
	if r := changing.handshake("SCRAM-SHA-256", 1); r.ErrorCode != 0 {
		t.Errorf("another mechanism: %+v", r)
	} else if r := changing.authenticate("n,,n=bob,r=x", 1); r.ErrorCode != 58 {
		t.Errorf("another mechanism: %+v", r)
	}
	changing.wantEnd()
	for _, c := range []client{raw, idle} {
		c.send(header(protocol.Metadata, 1, 1, ptr("x")))
		c.wantEnd()
	}
	f.closedFor("session_expired", 2)
	f.closedFor("authentication_failed", 2)
}

// Listeners differ in mechanisms and users' proofs, over TLS too (testValidSaslPlainOverSsl,
// testMultipleServerMechanisms, testJaasConfigurationForListener, MultipleListenersWithSameSecurityProtocolBaseTest).
func TestLoginOverTLS(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	certificate, key := ssltest.Write(t, t.TempDir(), authority.Issue(t, "localhost", nil))
	f := secured(t, map[string]string{
		"KANAL_LISTENERS":                            "TEST://127.0.0.1:0,SECURE://127.0.0.1:0",
		"KANAL_LISTENER_SECURE_PROTOCOL":             "SASL_SSL",
		"KANAL_LISTENER_SECURE_SASL_MECHANISMS":      "PLAIN",
		"KANAL_LISTENER_SECURE_SSL_CERTIFICATE_FILE": certificate,
		"KANAL_LISTENER_SECURE_SSL_KEY_FILE":         key,
	})
	plain := f.dialListener("SECURE")
	over := tls.Client(plain.Conn, &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost"})
	if err := over.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := client{over, t}
	c.ask(apiVersions(3, "tester"))
	if r := c.login("bob"); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	if who := f.principalOf(c); who != "User:bob" {
		t.Error(who)
	}
	if r := f.dial().handshake("SCRAM-SHA-256", 1); r.ErrorCode != 0 {
		t.Errorf("the other listener: %+v", r)
	}
}

// What a SASL_SSL listener asks of certificates is its own setting, and no other's (testSslClientAuthDisabledForSaslSslListener,
// testSslClientAuthRequestedForSaslSslListener, testSslClientAuthRequiredForSaslSslListener,
// testSslClientAuthRequestedOverriddenForSaslSslListener, testSslClientAuthRequiredOverriddenForSaslSslListener).
func TestCertificatesOfClientsThatLogIn(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	folder := t.TempDir()
	certificate, key := ssltest.Write(t, folder, authority.Issue(t, "localhost", nil))
	for name, c := range map[string]struct {
		all, own string
		ok       bool
	}{
		"disabled": {"", "none", true}, "requested": {"", "requested", true}, "required": {"", "required", false},
		"requested of all": {"requested", "", true}, "required of all": {"required", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			variables := map[string]string{
				"KANAL_LISTENER_TEST_PROTOCOL": "SASL_SSL", "KANAL_SSL_CERTIFICATE_FILE": certificate, "KANAL_SSL_KEY_FILE": key,
				"KANAL_SSL_TRUSTED_FILE": ssltest.Trust(t, folder, authority), "KANAL_SSL_CLIENT_AUTH": c.all,
			}
			if c.own != "" {
				variables["KANAL_LISTENER_TEST_SSL_CLIENT_AUTH"] = c.own
			}
			f := secured(t, variables)
			over := tls.Client(f.dial().Conn, &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost"})
			err := over.Handshake()
			if c.ok {
				if r := (client{over, t}).login("bob"); err != nil || r.ErrorCode != 0 {
					t.Fatalf("%v, %+v", err, r)
				}
				return
			}
			if _, err := over.Read(make([]byte, 1)); err == nil { // the refusal comes after the client's last message
				t.Fatal("let in without a certificate")
			}
		})
	}
}
