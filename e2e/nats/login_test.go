package nats

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"kanal/e2e/process"
	"kanal/libs/ssl/ssltest"
)

// TestLogin has a service log in to NATS in every way there is, over TLS that
// wants certificates of both sides.
func TestLogin(t *testing.T) {
	authority, stranger := ssltest.NewAuthority(t, "authority"), ssltest.NewAuthority(t, "stranger")
	theirs := authority.Issue(t, "127.0.0.1", nil)
	folder := t.TempDir()
	cert, key := ssltest.Write(t, folder, authority.Issue(t, "kanal", nil))
	secured := func(opts *server.Options) *server.Options {
		opts.TLS, opts.TLSVerify = true, true
		opts.TLSConfig = &tls.Config{Certificates: []tls.Certificate{theirs}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
		return opts
	}
	user := newKey(t, nkeys.CreateUser)
	withPassword := start(t, secured(&server.Options{Users: []*server.User{{Username: "kanal", Password: "secret"}}})).ClientURL()
	withKey := start(t, secured(&server.Options{Nkeys: []*server.NkeyUser{{Nkey: public(t, user)}}})).ClientURL()
	operated, creds := operated(t, folder, user)
	withCreds := start(t, secured(operated)).ClientURL()

	certificates := process.Env{"KANAL_NATS_CA": ssltest.Trust(t, folder, authority), "KANAL_NATS_CERT": cert, "KANAL_NATS_KEY": key}
	for name, c := range map[string]struct {
		url  string
		env  process.Env
		says string // in the log of one that waits for NATS; empty: it gets in
	}{
		"password":           {withPassword, process.Env{"KANAL_NATS_USER": "kanal", "KANAL_NATS_PASSWORD": "secret"}, ""},
		"password in URL":    {strings.Replace(withPassword, "://", "://kanal:secret@", 1), nil, ""},
		"nkey":               {withKey, process.Env{"KANAL_NATS_NKEY": seedFile(t, user)}, ""},
		"credentials":        {withCreds, process.Env{"KANAL_NATS_CREDS": creds}, ""},
		"wrong password":     {withPassword, process.Env{"KANAL_NATS_USER": "kanal", "KANAL_NATS_PASSWORD": "wrong"}, "Authorization Violation"},
		"nobody":             {withPassword, nil, "Authorization Violation"},
		"nkey of another":    {withKey, process.Env{"KANAL_NATS_NKEY": seedFile(t, newKey(t, nkeys.CreateUser))}, "Authorization Violation"},
		"no certificate":     {withPassword, process.Env{"KANAL_NATS_CERT": "", "KANAL_NATS_KEY": ""}, "certificate required|closed by remote after TLS handshake"},
		"other authority":    {withPassword, process.Env{"KANAL_NATS_CA": ssltest.Trust(t, t.TempDir(), stranger)}, "certificate signed by unknown authority"},
		"server without TLS": {start(t, new(server.Options)).ClientURL(), nil, "secure connection not available"},
	} {
		t.Run(name, func(t *testing.T) {
			p := process.Start(t, "echo", process.Env{"KANAL_NATS_URL": c.url}.With(certificates).With(c.env))
			if c.says == "" {
				p.WaitReady(t)
			} else {
				process.Poll(t, process.StartLimit, "the log says why it waits", func() error {
					if !regexp.MustCompile(c.says).MatchString(p.Log()) {
						return errors.New("it does not say: " + c.says)
					}
					return nil
				})
			}
			if strings.Contains(p.Log(), "secret") {
				t.Error("the log tells a password")
			}
			p.Signal(t, 15)
			if code := p.Exit(t); code != 0 {
				t.Errorf("it ended with %d", code)
			}
		})
	}
}

// A configuration that cannot be right ends the process at once, with every
// variable that is wrong.
func TestLoginThatIsNotValid(t *testing.T) {
	for _, name := range []string{"echo", "kanalctl"} {
		p := process.Start(t, name, process.Env{"KANAL_NATS_CREDS": "/nowhere", "KANAL_NATS_USER": "kanal", "KANAL_NATS_CA": "/dev/null"}, map[string][]string{"kanalctl": {"status"}}[name]...)
		if code := p.Exit(t); code == 0 {
			t.Errorf("%s took it", name)
		}
		for _, want := range []string{"KANAL_NATS_CREDS", "KANAL_NATS_USER", "KANAL_NATS_CA"} {
			if !strings.Contains(p.Log(), want) {
				t.Errorf("%s does not name %s", name, want)
			}
		}
	}
}

// operated gives the options of a server that trusts an operator's accounts,
// and a file with credentials of a user of one of them.
func operated(t *testing.T, folder string, user nkeys.KeyPair) (opts *server.Options, file string) {
	t.Helper()
	operator, account := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount)
	encode := func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	accountToken := encode(jwt.NewAccountClaims(public(t, account)).Encode(operator))
	claims, err := jwt.DecodeOperatorClaims(encode(jwt.NewOperatorClaims(public(t, operator)).Encode(operator)))
	if err != nil {
		t.Fatal(err)
	}
	resolver := new(server.MemAccResolver)
	if err := resolver.Store(public(t, account), accountToken); err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(public(t, user)).Encode(account)), seed)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, "user.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return &server.Options{TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver}, file
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	name, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func seedFile(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
