package suite

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"kanal/e2e/process"
	"kanal/libs/ssl/ssltest"
)

// secured is a standalone whose clients have to say who they are: alice with a
// hash in the cluster, bob with a password in the file, whoever has a token.
type secured struct {
	*process.Standalone
	target
	issuer *issuer
	file   string
}

func startSecured(t *testing.T, more process.Env) *secured {
	t.Helper()
	i := newIssuer(t)
	folder := t.TempDir()
	s := &secured{issuer: i, file: filepath.Join(folder, "users")}
	write(t, s.file, "# users of the test\nbob:PLAIN=builder\n")
	keys := filepath.Join(folder, "jwks.json")
	write(t, keys, i.jwks(t))
	s.Standalone = process.StartStandalone(t, process.Env{
		"KANAL_LISTENER_PLAINTEXT_PROTOCOL":                           "SASL_PLAINTEXT",
		"KANAL_LISTENER_PLAINTEXT_SASL_MECHANISMS":                    "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
		"KANAL_LISTENER_PLAINTEXT_SASL_OAUTHBEARER_JWKS":              keys,
		"KANAL_LISTENER_PLAINTEXT_SASL_OAUTHBEARER_EXPECTED_AUDIENCE": "kanal",
		"KANAL_LISTENER_PLAINTEXT_SASL_OAUTHBEARER_EXPECTED_ISSUER":   "test",
		"KANAL_SASL_CREDENTIALS_FILE":                                 s.file,
	}.With(more))
	s.target = target{s.Bootstrap, 1, s.Process}
	return s
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// kanalctl runs it with a password on its standard input.
func (s *secured) kanalctl(t *testing.T, password string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(limited(t, 30*time.Second), process.Binary(t, "kanalctl"), args...)
	cmd.Env = append(os.Environ(), "KANAL_NATS_URL=nats://"+s.Env()["KANAL_NATS_LISTEN"])
	cmd.Stdin = strings.NewReader(password + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kanalctl %v: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// ping asks for the cluster's metadata as whom the mechanism makes.
func (s *secured) ping(t *testing.T, m sasl.Mechanism) error {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.bootstrap), kgo.SASL(m), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	return cl.Ping(limited(t, 20*time.Second))
}

// pingSoon waits until what has just been changed counts: for a watch, not for a
// restart.
func (s *secured) pingSoon(t *testing.T, m sasl.Mechanism) {
	t.Helper()
	process.Poll(t, 5*time.Second, "the login", func() error { return s.ping(t, m) })
}

func as(user, password string) map[string]sasl.Mechanism {
	a := scram.Auth{User: user, Pass: password}
	return map[string]sasl.Mechanism{
		"PLAIN":         plain.Auth{User: user, Pass: password}.AsMechanism(),
		"SCRAM-SHA-256": a.AsSha256Mechanism(),
		"SCRAM-SHA-512": a.AsSha512Mechanism(),
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("%s: %v, want %v", what, err, kerr.SaslAuthenticationFailed)
	}
}

// issuer signs tokens.
type issuer struct {
	key *rsa.PrivateKey
	kid string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key, "one"}
}

func (i *issuer) jwks(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: i.kid, Use: "sig", Algorithm: "RS256"}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (i *issuer) token(t *testing.T, user string, life time.Duration) string {
	t.Helper()
	return i.sign(t, jwt.Claims{Issuer: "test", Subject: user, Audience: jwt.Audience{"kanal"}, Expiry: jwt.NewNumericDate(time.Now().Add(life)), IssuedAt: jwt.NewNumericDate(time.Now())})
}

func (i *issuer) sign(t *testing.T, claims jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: i.kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *issuer) login(t *testing.T, user string, life time.Duration) sasl.Mechanism {
	return oauth.Oauth(func(context.Context) (oauth.Auth, error) { return oauth.Auth{Token: i.token(t, user, life)}, nil })
}

// N6, N7, N11: every mechanism, from the cluster and from the file.
func TestSASLFranzGo(t *testing.T) {
	s := startSecured(t, nil)
	s.kanalctl(t, "wonder,=land ü", "user", "set", "alice")
	for name, m := range as("alice", "wonder,=land ü") {
		s.pingSoon(t, m)
		refused(t, name+" with a wrong password", s.ping(t, as("alice", "wonderland")[name]))
		refused(t, name+" of nobody", s.ping(t, as("nobody", "wonderland")[name]))
	}
	if err := s.ping(t, as("bob", "builder")["PLAIN"]); err != nil {
		t.Error(err)
	}
	refused(t, "SCRAM of a password for PLAIN", s.ping(t, as("bob", "builder")["SCRAM-SHA-256"]))
	if err := s.ping(t, s.issuer.login(t, "carol", time.Hour)); err != nil {
		t.Error(err)
	}
	stranger := newIssuer(t)
	if err := s.ping(t, stranger.login(t, "carol", time.Hour)); err == nil {
		t.Error("a token signed by somebody else was taken")
	}
	if err := s.ping(t, s.issuer.login(t, "carol", -time.Hour)); err == nil {
		t.Error("a token that has expired was taken")
	}
	produceAndConsumeAs(t, s, as("alice", "wonder,=land ü")["SCRAM-SHA-512"])
	if failed := s.Metric(t, "kanal_authentications_total", "outcome", "failed"); failed != 7 { // a client whose token is refused leaves by itself
		t.Errorf("%v failed authentications were counted", failed)
	}
	s.Stop(t)
	for _, secret := range []string{"wonderland", "builder", "wonder,"} {
		if strings.Contains(s.Log(), secret) {
			t.Errorf("the log says %q", secret)
		}
	}
}

func produceAndConsumeAs(t *testing.T, s *secured, m sasl.Mechanism) {
	t.Helper()
	cl := newClient(t, s.target, kgo.SASL(m), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("secured"))
	if err := cl.ProduceSync(limited(t, time.Minute), kgo.StringRecord("hello")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, s.target, "secured", map[int32]int64{0: 0}, 1, kgo.SASL(m)); string(got[0].Value) != "hello" {
		t.Fatalf("%q", got[0].Value)
	}
}

// What changes in the cluster or in the file counts for the next login, and not for those that are in.
func TestSASLChangesCount(t *testing.T) {
	s := startSecured(t, nil)
	alice := func(password string) sasl.Mechanism { return as("alice", password)["SCRAM-SHA-256"] }
	refused(t, "before alice is known", s.ping(t, alice("one")))
	s.kanalctl(t, "one", "user", "set", "alice", "-mechanism", "SCRAM-SHA-256", "-iterations", "8192")
	s.pingSoon(t, alice("one"))
	if got := s.kanalctl(t, "", "user", "list"); !strings.Contains(got, "alice  SCRAM-SHA-256") || strings.Contains(got, "8192") {
		t.Errorf("kanalctl lists %q", got)
	}
	cl := newClient(t, s.target, kgo.SASL(alice("one")))
	if err := cl.Ping(limited(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	s.kanalctl(t, "two", "user", "set", "alice")
	s.pingSoon(t, alice("two"))
	refused(t, "the password of before", s.ping(t, alice("one")))
	s.kanalctl(t, "", "user", "delete", "alice")
	process.Poll(t, 5*time.Second, "alice is gone", func() error {
		if s.ping(t, alice("two")) == nil {
			return errors.New("she is not")
		}
		return nil
	})
	if err := cl.Ping(limited(t, 20*time.Second)); err != nil {
		t.Errorf("a connection of before was cut: %v", err)
	}
	write(t, s.file, s.kanalctl(t, "three", "user", "set", "bob", "-print"))
	process.Poll(t, 10*time.Second, "the file is read again", func() error { return s.ping(t, as("bob", "three")["SCRAM-SHA-512"]) })
	refused(t, "the file's password of before", s.ping(t, as("bob", "builder")["PLAIN"]))
	s.Stop(t)
}

// A client tells at once that it is not let in, and the same ones work once their user is known
// (ClientAuthenticationFailureTest, SaslClientsWithInvalidCredentialsTest).
func TestSASLUserComesLater(t *testing.T) {
	s := startSecured(t, nil)
	m := kgo.SASL(as("alice", "pw")["SCRAM-SHA-512"])
	admin, producer := newClient(t, s.target, m), newClient(t, s.target, m, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("later"))
	consumer := newClient(t, s.target, m, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"later": {0: kgo.NewOffset().AtStart()}}))
	ping := func() error { return admin.Ping(limited(t, 20*time.Second)) }
	produce := func() error {
		return producer.ProduceSync(limited(t, 20*time.Second), kgo.StringRecord("hello")).FirstErr()
	}
	begun := time.Now()
	refused(t, "admin", ping())
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("told after %s", took)
	}
	s.kanalctl(t, "pw", "user", "set", "alice")
	process.Poll(t, 10*time.Second, "the admin client is let in", ping)
	process.Poll(t, 10*time.Second, "the producer is let in", produce)
	process.Poll(t, 20*time.Second, "the consumer is let in", func() error {
		fetches := consumer.PollFetches(limited(t, 5*time.Second))
		if fetches.NumRecords() == 0 {
			return fmt.Errorf("no record: %v", fetches.Errors())
		}
		return nil
	})
	s.Stop(t)
}

// kcat logs in over TLS.
func TestSASLKcatOverTLS(t *testing.T) {
	process.Need(t, "kcat")
	authority, folder := ssltest.NewAuthority(t, "authority"), t.TempDir()
	certificate, key := ssltest.Write(t, folder, authority.Issue(t, "127.0.0.1", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }))
	s := startSecured(t, process.Env{"KANAL_LISTENER_PLAINTEXT_PROTOCOL": "SASL_SSL", "KANAL_SSL_CERTIFICATE_FILE": certificate, "KANAL_SSL_KEY_FILE": key})
	s.kanalctl(t, "pw", "user", "set", "alice")
	trust := ssltest.Trust(t, folder, authority)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args := saslOptions(mechanism, []string{"sasl.username=alice", "sasl.password=pw", "security.protocol=SASL_SSL", "ssl.ca.location=" + trust}, "-L")
		if out := kcat(t, s.target, time.Minute, nil, args...); !strings.Contains(string(out), "1 brokers") {
			t.Errorf("%s: %s", mechanism, out)
		}
	}
	s.Stop(t)
}

// N13-N18, testRepeatedValidSaslPlainOverSsl: nothing that a client does fails while its sessions end.
func TestSASLReauthentication(t *testing.T) {
	s := startSecured(t, process.Env{"KANAL_LISTENER_PLAINTEXT_SASL_MAX_REAUTH": "3s"})
	s.kanalctl(t, "pw", "user", "set", "alice")
	s.pingSoon(t, as("alice", "pw")["SCRAM-SHA-512"])
	for name, m := range map[string]sasl.Mechanism{
		"SCRAM-SHA-512": as("alice", "pw")["SCRAM-SHA-512"], "PLAIN": as("bob", "builder")["PLAIN"],
		"OAUTHBEARER": s.issuer.login(t, "carol", time.Hour),
	} {
		t.Run(name, func(t *testing.T) { produceWhileSessionsEnd(t, s, m) })
	}
	if n := s.Metric(t, "kanal_connections_closed_total", "reason", "session_expired"); n != 0 {
		t.Errorf("%v sessions expired", n)
	}
	if n := s.Metric(t, "kanal_reauthentications_total", "outcome", "failed"); n != 0 {
		t.Errorf("%v re-authentications failed", n)
	}
	s.Stop(t)
}

func produceWhileSessionsEnd(t *testing.T, s *secured, m sasl.Mechanism) {
	before := s.Metric(t, "kanal_reauthentications_total", "outcome", "successful")
	cl := newClient(t, s.target, kgo.SASL(m), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("sessions"),
		kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.ProducerLinger(0))
	sent := 0
	for end := time.Now().Add(time.Duration(pick(7, 30)) * time.Second); time.Now().Before(end); sent++ {
		if err := cl.ProduceSync(limited(t, time.Minute), kgo.StringRecord(fmt.Sprint(sent))).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", sent, err)
		}
		time.Sleep(10 * time.Millisecond) // the load's pace
	}
	if n := s.Metric(t, "kanal_reauthentications_total", "outcome", "successful") - before; n < 2 {
		t.Errorf("%v re-authentications", n)
	}
}

// kcat authenticates by every mechanism that its builds have; its own unsigned tokens are refused.
func TestSASLKcat(t *testing.T) {
	process.Need(t, "kcat")
	s := startSecured(t, nil)
	s.kanalctl(t, "pw", "user", "set", "alice")
	s.pingSoon(t, as("alice", "pw")["SCRAM-SHA-512"])
	for name, options := range map[string][]string{
		"PLAIN":         {"sasl.username=alice", "sasl.password=pw"},
		"SCRAM-SHA-256": {"sasl.username=alice", "sasl.password=pw"},
		"SCRAM-SHA-512": {"sasl.username=alice", "sasl.password=pw"},
	} {
		t.Run(name, func(t *testing.T) {
			out := kcat(t, s.target, time.Minute, nil, saslOptions(name, options, "-L")...)
			if !strings.Contains(string(out), "1 brokers") {
				t.Errorf("%s", out)
			}
		})
	}
	for name, options := range map[string][]string{
		"PLAIN":         {"sasl.username=alice", "sasl.password=guess"},
		"SCRAM-SHA-512": {"sasl.username=mallory", "sasl.password=pw"},
		"OAUTHBEARER":   {"enable.sasl.oauthbearer.unsecure.jwt=true", "sasl.oauthbearer.config=principal=alice"},
	} {
		t.Run(name+" refused", func(t *testing.T) {
			cmd := exec.CommandContext(limited(t, time.Minute), "kcat", append([]string{"-b", s.bootstrap, "-m", "3"}, saslOptions(name, options, "-L")...)...)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "SASL authentication error") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	s.Stop(t)
}

func saslOptions(mechanism string, options []string, args ...string) []string {
	all := append([]string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=" + mechanism}, options...)
	for _, o := range all {
		args = append(args, "-X", o)
	}
	return args
}
