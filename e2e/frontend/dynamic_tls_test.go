package frontend

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"kanal/libs/ssl/ssltest"
)

// handshake gives the name that a listener's certificate has, and what became
// of the handshake and a request.
func (f *fixture) handshake(listener string, c *tls.Config) (string, client, error) {
	f.t.Helper()
	plain := f.dialListener(listener)
	conn := tls.Client(plain.Conn, c)
	if err := conn.Handshake(); err != nil {
		return "", client{conn, f.t}, err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, client{conn, f.t}, nil
}

// W10, W11, testKeyStoreAlter, testTrustStoreAlter: new connections use other
// stores, open ones go on; stores that cannot be read are refused with all else;
// what is not a store is fixed while the listener runs.
func TestStoresChangeWhileRunning(t *testing.T) {
	ours, theirs := ssltest.NewAuthority(t, "ours"), ssltest.NewAuthority(t, "theirs")
	first, second := t.TempDir(), t.TempDir()
	certificate, key := ssltest.Write(t, first, ours.Issue(t, "kanal", nil))
	certificate2, key2 := ssltest.Write(t, second, theirs.Issue(t, "kanal", nil))
	f, s := dynamic(t, map[string]string{
		"KANAL_LISTENER_TEST_PROTOCOL": "SSL", "KANAL_LISTENER_TEST_SSL_CERTIFICATE_FILE": certificate, "KANAL_LISTENER_TEST_SSL_KEY_FILE": key,
		"KANAL_LISTENER_TEST_SSL_CLIENT_AUTH": "required", "KANAL_LISTENER_TEST_SSL_TRUSTED_FILE": ssltest.Trust(t, first, ours),
	})
	dial := func(trusts *ssltest.Authority, is *ssltest.Authority) (client, bool) {
		t.Helper()
		_, c, err := f.handshake("TEST", &tls.Config{RootCAs: trusts.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{is.Issue(t, "client", nil)}})
		return c, err == nil && c.serves()
	}
	open, ok := dial(ours, ours)
	if !ok {
		t.Fatal("the environment's stores do not serve")
	}
	if _, ok := dial(ours, theirs); ok {
		t.Error("a certificate of theirs was accepted")
	}
	stores := []string{"listener.name.test.ssl.keystore.location", certificate2, "listener.name.test.kanal.ssl.key.location", key2}
	f.runsWith(s.set(stores...))
	if _, ok := dial(ours, ours); ok {
		t.Error("the old certificate is still served")
	}
	if _, ok := dial(theirs, ours); !ok {
		t.Error("the new certificate is not served")
	}
	stores = append(stores, "listener.name.test.ssl.truststore.location", ssltest.Trust(t, second, theirs))
	f.runsWith(s.set(stores...))
	if _, ok := dial(theirs, ours); ok {
		t.Error("who is no longer trusted was accepted")
	}
	if _, ok := dial(theirs, theirs); !ok {
		t.Error("who is trusted now was not accepted")
	}
	nonsense := filepath.Join(t.TempDir(), "nonsense.pem")
	if err := os.WriteFile(nonsense, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, wrong := range [][]string{
		{"listener.name.test.ssl.truststore.location", nonsense},
		{"listener.name.test.ssl.keystore.location", filepath.Join(t.TempDir(), "absent.pem")},
		{"listener.name.test.ssl.client.auth", "none"},
		{"listener.name.test.sasl.enabled.mechanisms", "PLAIN"},
		{"ssl.keystore.location", certificate}, // only with the listener's prefix
		{"listener.security.protocol.map", "TEST:PLAINTEXT"},
	} {
		s.set(append(append([]string{}, stores...), append(wrong, "max.connections.per.ip", "0", "max.connections.per.ip.overrides", "10.0.0.1:1")...)...)
		eventually(t, wrong[0]+" is refused", func() bool {
			failures, _ := f.value("kanal_config_failures_total", "kind", "refused")
			return failures == float64(i+1)
		})
		if _, ok := dial(theirs, theirs); !ok {
			t.Errorf("%v: something was changed", wrong)
		}
	}
	if !open.serves() {
		t.Error("the first connection was closed")
	}
}

// W7, W8, testAddRemoveSslListener: all that a listener with TLS needs comes with
// the configs that add it.
func TestListenerWithTLSComesAndGoes(t *testing.T) {
	ours := ssltest.NewAuthority(t, "ours")
	certificate, key := ssltest.Write(t, t.TempDir(), ours.Issue(t, "kanal", nil))
	f, s := dynamic(t, nil)
	for range 2 {
		f.runsWith(s.set("listeners", "TEST://127.0.0.1:0,MORE://127.0.0.1:0", "listener.security.protocol.map", "TEST:PLAINTEXT,MORE:SSL",
			"listener.name.more.ssl.keystore.location", certificate, "listener.name.more.kanal.ssl.key.location", key, "listener.name.more.ssl.enabled.protocols", "TLSv1.2"))
		if _, _, err := f.handshake("MORE", &tls.Config{RootCAs: ours.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS13}); err == nil {
			t.Error("TLS 1.3 was spoken")
		}
		_, c, err := f.handshake("MORE", &tls.Config{RootCAs: ours.Pool(), ServerName: "localhost"})
		if err != nil || !c.serves() {
			t.Fatal(err)
		}
		f.runsWith(s.set())
		if c.serves() {
			t.Error("a connection outlived its listener")
		}
	}
	f.admitted(1, "TEST")
}
