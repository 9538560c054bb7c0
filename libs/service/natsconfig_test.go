package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"kanal/libs/ssl/ssltest"
)

// Whatever is wrong with logging in to NATS is said by variable, all at once,
// before anything is opened, and without secrets.
func TestNATSLoginIsChecked(t *testing.T) {
	folder := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := ssltest.NewAuthority(t, "authority")
	cert, key := ssltest.Write(t, folder, authority.Issue(t, "kanal", nil))
	ca := ssltest.Trust(t, folder, authority)
	_, otherKey := ssltest.Write(t, t.TempDir(), authority.Issue(t, "other", nil))
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountSeed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	junk, good, missing := put("junk", "junk"), put("seed", string(seed)), filepath.Join(folder, "missing")
	for name, c := range map[string]struct {
		cfg  NATS
		says []string
	}{
		"nothing":                   {NATS{}, nil},
		"user and password":         {NATS{NATSUser: "a", NATSPassword: "b"}, nil},
		"nkey":                      {NATS{NATSNKey: good}, nil},
		"certificates":              {NATS{NATSCA: ca, NATSCert: cert, NATSCertKey: key, NATSInboxPrefix: "_INBOX_a.b"}, nil},
		"user without password":     {NATS{NATSUser: "a"}, []string{`KANAL_NATS_USER is "a"`}},
		"password without user":     {NATS{NATSPassword: "secret"}, []string{`KANAL_NATS_USER is ""`}},
		"nkey of an account":        {NATS{NATSNKey: put("account", string(accountSeed))}, []string{"KANAL_NATS_NKEY is"}},
		"nkey that is junk":         {NATS{NATSNKey: junk}, []string{"KANAL_NATS_NKEY is"}},
		"credentials that are junk": {NATS{NATSCreds: junk}, []string{"KANAL_NATS_CREDS is"}},
		"certificate without key":   {NATS{NATSCert: cert}, []string{"KANAL_NATS_CERT is"}},
		"key of another":            {NATS{NATSCert: cert, NATSCertKey: otherKey}, []string{"KANAL_NATS_CERT is"}},
		"authorities that are junk": {NATS{NATSCA: junk}, []string{"KANAL_NATS_CA is"}},
		"inbox of everybody":        {NATS{NATSInboxPrefix: "a.>"}, []string{`KANAL_NATS_INBOX_PREFIX is "a.>"`}},
		"two identities":            {NATS{NATSUser: "a", NATSPassword: "b", NATSNKey: good}, []string{"KANAL_NATS_NKEY is set", "KANAL_NATS_USER is"}},
		"everything": {
			NATS{NATSUser: "a", NATSNKey: missing, NATSCreds: missing, NATSCA: missing, NATSCert: missing, NATSCertKey: missing},
			[]string{"KANAL_NATS_USER is", "KANAL_NATS_NKEY is", "KANAL_NATS_CREDS is", "KANAL_NATS_CA is", "KANAL_NATS_CERT is"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.cfg.Validate()
			if len(c.says) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range c.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %s", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("told: %v", err)
			}
		})
	}
}

// A seed in a file of credentials without a JWT is not enough.
func TestCredentialsNeedBoth(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "creds")
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (NATS{NATSCreds: path}).Validate(); err == nil {
		t.Error("a seed alone was taken for credentials")
	}
}
