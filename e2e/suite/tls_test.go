package suite

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"kanal/e2e/process"
	"kanal/libs/ssl/ssltest"
)

// encrypted is a standalone whose clients speak TLS, and what they need for it.
type encrypted struct {
	*process.Standalone
	target
	authority *ssltest.Authority
	folder    string // of ca.pem, and of a client's cert.pem and key.pem
	client    tls.Certificate
}

func startEncrypted(t *testing.T, more process.Env) *encrypted {
	t.Helper()
	e := &encrypted{authority: ssltest.NewAuthority(t, "authority"), folder: t.TempDir()}
	certificate, key := ssltest.Write(t, t.TempDir(), e.authority.Issue(t, "server", nil))
	e.client = e.authority.Issue(t, "alice", nil)
	ssltest.Write(t, e.folder, e.client)
	e.Standalone = process.StartStandalone(t, process.Env{
		"KANAL_LISTENER_PLAINTEXT_PROTOCOL": "SSL",
		"KANAL_SSL_CERTIFICATE_FILE":        certificate,
		"KANAL_SSL_KEY_FILE":                key,
		"KANAL_SSL_TRUSTED_FILE":            ssltest.Trust(t, e.folder, e.authority),
	}.With(more))
	e.target = target{e.Bootstrap, 1, e.Process}
	return e
}

// config is a client's; certificates are what it shows.
func (e *encrypted) config(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: e.authority.Pool(), ServerName: "127.0.0.1", Certificates: certificates}
}

func (e *encrypted) ping(t *testing.T, cfg *tls.Config, more ...kgo.Opt) error {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(e.bootstrap), kgo.DialTLSConfig(cfg), kgo.RequestRetries(0)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	return cl.Ping(limited(t, 20*time.Second))
}

// openssl runs s_client to its end, with nothing to say after the handshake.
func (e *encrypted) openssl(t *testing.T, args ...string) string {
	t.Helper()
	process.Need(t, "openssl")
	cmd := exec.CommandContext(limited(t, 20*time.Second), "openssl", append([]string{"s_client", "-connect", e.bootstrap, "-CAfile", e.folder + "/ca.pem"}, args...)...)
	cmd.Stdin = bytes.NewReader([]byte("\n"))
	out, _ := cmd.CombinedOutput() // an alert is an exit code too
	return string(out)
}

// Clients of all kinds produce and consume over TLS.
func TestClientsOverTLS(t *testing.T) {
	e := startEncrypted(t, nil)
	for name, version := range map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13} {
		cfg := e.config()
		cfg.MinVersion, cfg.MaxVersion = version, version
		if err := e.ping(t, cfg); err != nil {
			t.Errorf("franz-go over %s: %v", name, err)
		}
		out := e.openssl(t, "-"+strings.NewReplacer("TLSv", "tls", ".", "_").Replace(name))
		if !strings.Contains(out, "Verify return code: 0 (ok)") || !strings.Contains(out, name) {
			t.Errorf("openssl over %s: %s", name, out)
		}
	}
	t.Run("kcat", func(t *testing.T) {
		process.Need(t, "kcat")
		encryption := []string{"-X", "security.protocol=SSL", "-X", "ssl.ca.location=" + e.folder + "/ca.pem"}
		want := numbered(0, 2000)
		topic := newName(t)
		kcat(t, e.target, 30*time.Second, strings.NewReader(strings.Join(want, "\n")+"\n"), append([]string{"-P", "-t", topic}, encryption...)...)
		requireSequence(t, kcatConsume(t, e.target, 30*time.Second, topic, encryption...), want)
	})
	if err := e.ping(t, (&encrypted{authority: ssltest.NewAuthority(t, "another")}).config()); err == nil {
		t.Error("franz-go trusts anybody")
	}
	eventually(t, "the client's alert is counted", func() bool { return e.closed(t, "tls_handshake_failed") > 0 })
}

// Clients that have to show a certificate, and those that cannot.
func TestClientsWithCertificates(t *testing.T) {
	e := startEncrypted(t, process.Env{
		"KANAL_SSL_CLIENT_AUTH": "required", "KANAL_SSL_PRINCIPAL_MAPPING_RULES": "RULE:CN=(.*?),.*/$1/",
	})
	if err := e.ping(t, e.config(e.client)); err != nil {
		t.Error(err)
	}
	if out := e.openssl(t, "-cert", e.folder+"/cert.pem", "-key", e.folder+"/key.pem"); !strings.Contains(out, "Verify return code: 0 (ok)") {
		t.Error(out)
	}
	t.Run("kcat", func(t *testing.T) {
		process.Need(t, "kcat")
		kcat(t, e.target, 30*time.Second, nil, "-L", "-X", "security.protocol=SSL", "-X", "ssl.ca.location="+e.folder+"/ca.pem",
			"-X", "ssl.certificate.location="+e.folder+"/cert.pem", "-X", "ssl.key.location="+e.folder+"/key.pem")
	})
	refused := 0.0
	for name, cfg := range map[string]*tls.Config{
		"none":     e.config(),
		"expired":  e.config(e.authority.Issue(t, "alice", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })),
		"stranger": e.config(ssltest.NewAuthority(t, "another").Issue(t, "alice", nil)),
	} {
		if len(cfg.Certificates) > 0 { // whatever the server says that it trusts
			shown := cfg.Certificates[0]
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
		}
		if err := e.ping(t, cfg); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		refused++
		eventually(t, "the refusal of "+name+" is counted", func() bool { return e.closed(t, "tls_certificate_refused") >= refused })
	}
	for version, alert := range map[string]string{"-tls1_3": "certificate required", "-tls1_2": "handshake failure"} {
		if out := e.openssl(t, version, "-ign_eof"); !strings.Contains(out, "alert "+alert) {
			t.Errorf("%s: openssl saw no alert %q: %s", version, alert, out)
		}
	}
}

// Passwords over TLS.
func TestClientsWithPasswordsOverTLS(t *testing.T) {
	file := t.TempDir() + "/users"
	write(t, file, "bob:PLAIN=builder\n")
	e := startEncrypted(t, process.Env{
		"KANAL_LISTENER_PLAINTEXT_PROTOCOL":        "SASL_SSL",
		"KANAL_LISTENER_PLAINTEXT_SASL_MECHANISMS": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"KANAL_SASL_CREDENTIALS_FILE":              file,
		"KANAL_SSL_CLIENT_AUTH":                    "required", // of other listeners
	})
	if err := e.ping(t, e.config(), kgo.SASL(plain.Auth{User: "bob", Pass: "builder"}.AsMechanism())); err != nil {
		t.Error(err)
	}
	if err := e.ping(t, e.config(), kgo.SASL(plain.Auth{User: "bob", Pass: "breaker"}.AsMechanism())); err == nil {
		t.Error("a wrong password is good")
	}
	s := &secured{Standalone: e.Standalone}
	s.kanalctl(t, "wonderland", "user", "set", "alice")
	for name, m := range map[string]kgo.Opt{
		"SCRAM-SHA-256": kgo.SASL(scram.Auth{User: "alice", Pass: "wonderland"}.AsSha256Mechanism()),
		"SCRAM-SHA-512": kgo.SASL(scram.Auth{User: "alice", Pass: "wonderland"}.AsSha512Mechanism()),
	} {
		eventually(t, name+" is let in", func() bool { return e.ping(t, e.config(), m) == nil })
	}
	t.Run("kcat", func(t *testing.T) {
		process.Need(t, "kcat")
		kcat(t, e.target, 30*time.Second, nil, "-L", "-X", "security.protocol=SASL_SSL", "-X", "ssl.ca.location="+e.folder+"/ca.pem",
			"-X", "sasl.mechanism=SCRAM-SHA-512", "-X", "sasl.username=alice", "-X", "sasl.password=wonderland")
	})
}

func (e *encrypted) closed(t *testing.T, reason string) float64 {
	t.Helper()
	return e.Metric(t, "kanal_connections_closed_total", "reason", reason)
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}
