package ssl

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kanal/libs/ssl/ssltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files are a listener's, in a folder of their own.
func files(t *testing.T, authority *ssltest.Authority, certificate tls.Certificate) Config {
	t.Helper()
	folder := t.TempDir()
	var c Config
	c.CertificateFile, c.KeyFile = ssltest.Write(t, folder, certificate)
	c.TrustedFile = ssltest.Trust(t, folder, authority)
	return c
}

// Row P22; testInvalidKeyPassword, testPemFilesWithoutServerKeyPassword, testInterBrokerSslConfigValidationFailure:
// everything wrong is named at once: the setting, its value, what is the matter.
func TestInvalidSettings(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	good := files(t, authority, authority.Issue(t, "server", nil))
	other := files(t, authority, authority.Issue(t, "other", nil))
	expired := files(t, authority, authority.Issue(t, "old", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))
	future := files(t, authority, authority.Issue(t, "new", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }))
	rubbish := filepath.Join(t.TempDir(), "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted, old := filepath.Join(t.TempDir(), "encrypted.pem"), filepath.Join(t.TempDir(), "old.pem")
	for file, block := range map[string]*pem.Block{
		encrypted: {Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("secret")},
		old:       {Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("secret")},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   map[string]string // setting to part of the error
	}{
		"nothing":           {func(c *Config) { *c = Config{} }, map[string]string{SettingCertificate: "needed"}},
		"no such file":      {func(c *Config) { c.CertificateFile = "/nowhere.pem" }, map[string]string{SettingCertificate: "no such file"}},
		"no certificate":    {func(c *Config) { c.CertificateFile = rubbish }, map[string]string{SettingCertificate: "no certificate"}},
		"no key":            {func(c *Config) { c.KeyFile = rubbish }, map[string]string{SettingKey: "find any PEM data"}},
		"key not in chain":  {func(c *Config) { c.KeyFile = "" }, map[string]string{SettingKey: "found a certificate rather than a key"}},
		"another's key":     {func(c *Config) { c.KeyFile = other.KeyFile }, map[string]string{SettingKey: "does not match"}},
		"encrypted key":     {func(c *Config) { c.KeyFile = encrypted }, map[string]string{SettingKey: "is encrypted"}},
		"encrypted, older":  {func(c *Config) { c.KeyFile = old }, map[string]string{SettingKey: "is encrypted"}},
		"expired":           {func(c *Config) { *c = expired }, map[string]string{SettingCertificate: "expired on"}},
		"not valid yet":     {func(c *Config) { *c = future }, map[string]string{SettingCertificate: "valid only from"}},
		"nobody to trust":   {func(c *Config) { c.TrustedFile = rubbish }, map[string]string{SettingTrusted: "no certificate"}},
		"unknown protocols": {func(c *Config) { c.EnabledProtocols = []string{"TLSv1.1"} }, map[string]string{SettingProtocols: "TLSv1.1"}},
		"unknown cipher":    {func(c *Config) { c.CipherSuites = []string{"TLS_AES_128_GCM_SHA256"} }, map[string]string{SettingCiphers: "TLS_AES_128"}},
		"several": {func(c *Config) { c.ClientAuth, c.PrincipalRules, c.KeyFile = "maybe", "RULE:x", rubbish },
			map[string]string{SettingClientAuth: "none, requested or required", SettingRules: "RULE:x", SettingKey: "PEM"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			_, err := NewEngine(cfg, time.Now())
			all := AllInvalid(err)
			if len(all) != len(c.want) {
				t.Fatalf("%d settings are wrong: %v", len(all), err)
			}
			for _, invalid := range all {
				if part := c.want[invalid.Setting]; part == "" || !strings.Contains(invalid.Error(), part) {
					t.Errorf("%v", invalid)
				}
			}
		})
	}
}

// Row P20; testECKeyPair, testPemFiles, testInterBrokerSslConfigValidation, testTrailingNewLines, testLeadingNewLines, testCarriageReturnLineFeed: kinds of keys and
// looks of files.
func TestKeysAndFiles(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, certificate := range map[string]tls.Certificate{
		"P-384": authority.IssueFor(t, p384, "server", nil), "RSA": authority.IssueFor(t, rsaKey, "server", nil),
		"Ed25519": authority.IssueFor(t, edKey, "server", nil),
	} {
		for look, change := range map[string]func([]byte) []byte{
			"as it is": func(b []byte) []byte { return b },
			"newlines": func(b []byte) []byte { return []byte("\n\n" + string(b) + "\n\n") },
			"CRLF":     func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) },
			"text":     func(b []byte) []byte { return append([]byte("subject=CN = server\n"), b...) },
		} {
			c := files(t, authority, certificate)
			both := []byte{}
			for _, file := range []string{c.CertificateFile, c.KeyFile} {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				both = append(both, change(b)...)
				if err := os.WriteFile(file, change(b), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := NewEngine(c, time.Now()); err != nil {
				t.Errorf("%s, %s: %v", name, look, err)
			}
			// Both in one file.
			if err := os.WriteFile(c.CertificateFile, both, 0o600); err != nil {
				t.Fatal(err)
			}
			c.KeyFile = ""
			if _, err := NewEngine(c, time.Now()); err != nil {
				t.Errorf("%s, %s, in one file: %v", name, look, err)
			}
		}
	}
}

// Row P21; testServerKeystoreDynamicUpdate, testServerKeystoreDynamicUpdateWithNewSubjectAltName,
// testDynamicUpdateCompatibility, testReconfiguration: what may take the place of what.
func TestUpdate(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	subject := func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "another"} }
	fewer := func(c *x509.Certificate) { c.DNSNames = nil }
	more := func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "more.example") }
	upper := func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "SERVER", Organization: []string{"KANAL"}}
	}
	for name, c := range map[string]struct {
		change   func(*x509.Certificate)
		allow    func(*Config)
		accepted bool
	}{
		"same names":              {nil, nil, true},
		"same in capitals":        {upper, nil, true},
		"more names":              {more, nil, true},
		"fewer names":             {fewer, nil, false},
		"fewer names, allowed":    {fewer, func(c *Config) { c.AllowSANChanges = true }, true},
		"another subject":         {subject, nil, false},
		"subject, SANs allowed":   {subject, func(c *Config) { c.AllowSANChanges = true }, false},
		"another subject allowed": {subject, func(c *Config) { c.AllowDNChanges = true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			var loads []error
			f, err := NewFactory(files(t, authority, authority.Issue(t, "server", nil)), slog.New(slog.DiscardHandler), func(_ *Engine, err error) { loads = append(loads, err) })
			if err != nil {
				t.Fatal(err)
			}
			before := f.Engine()
			cfg := files(t, authority, authority.Issue(t, "server", c.change))
			if c.allow != nil {
				c.allow(&cfg)
			}
			err = f.Update(cfg)
			if (err == nil) != c.accepted || (f.Engine() != before) != c.accepted {
				t.Errorf("%v, replaced %t", err, f.Engine() != before)
			}
			var invalid *Invalid
			if !c.accepted && (!errors.As(err, &invalid) || invalid.Value != cfg.CertificateFile) {
				t.Errorf("%v does not name the file", err)
			}
			if len(loads) != 1 || (loads[0] == nil) != c.accepted {
				t.Errorf("told %v", loads)
			}
		})
	}
}

// Row P21: files are looked at: a change counts, half a change is refused and told, and the rest of it counts again.
func TestWatch(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	c := files(t, authority, authority.Issue(t, "server", nil))
	folder := filepath.Dir(c.CertificateFile)
	log := &bytes.Buffer{}
	told := make(chan error, 10)
	f, err := NewFactory(c, slog.New(slog.NewTextHandler(log, nil)), func(_ *Engine, err error) { told <- err })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() { defer close(done); f.Watch(ctx, time.Millisecond) }()
	next := func() error {
		t.Helper()
		select {
		case err := <-told:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("no change was noticed")
			return nil
		}
	}
	serial := func() string { return f.Engine().leaf.SerialNumber.String() }
	before := serial()
	key, err := os.ReadFile(c.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ssltest.Write(t, folder, authority.Issue(t, "server", nil))
	for next() != nil { // the certificate may be seen before its key
	}
	after := serial()
	if after == before {
		t.Fatal("not replaced")
	}
	// The old key does not belong to the new certificate.
	if err := os.WriteFile(c.KeyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	for next() == nil { // the pair of before may have been read twice
	}
	if serial() != after {
		t.Fatal("a certificate without its key took the place of one with it")
	}
	ssltest.Trust(t, folder, authority, ssltest.NewAuthority(t, "second"))
	if err := next(); err == nil || serial() != after { // still the wrong key
		t.Fatal("accepted")
	}
	ssltest.Write(t, folder, authority.Issue(t, "server", nil))
	for next() != nil {
	}
	stop()
	<-done
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, c.KeyFile) {
		t.Errorf("the log does not name the file: %s", text)
	}
}

// Cipher suites are those of TLS 1.2, in any order.
func TestCipherSuites(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	c := files(t, authority, authority.Issue(t, "server", nil))
	c.CipherSuites = []string{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}
	e, err := NewEngine(c, time.Now())
	if err != nil || len(e.TLS.CipherSuites) != 2 {
		t.Fatal(e, err)
	}
}
