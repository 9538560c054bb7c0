package service

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// NATS is where NATS is, and how a process shows who it is: not at all, by user
// and password, by an nkey, or by credentials (a JWT and its nkey); with a
// certificate beside any of them or alone. Files are read again at every
// reconnect.
type NATS struct {
	// NATSURL lists the servers, comma separated. Empty is
	// nats://127.0.0.1:4222, and in standalone an embedded server.
	NATSURL string `env:"KANAL_NATS_URL"`
	// NATSCreds is a file of credentials, as nsc makes them.
	NATSCreds string `env:"KANAL_NATS_CREDS"`
	// NATSUser and NATSPassword are for servers whose URL has none.
	NATSUser     string `env:"KANAL_NATS_USER"`
	NATSPassword string `env:"KANAL_NATS_PASSWORD"`
	// NATSNKey is a file with the seed of a user's nkey.
	NATSNKey string `env:"KANAL_NATS_NKEY"`
	// NATSCA is a PEM file of those who may have issued the servers'
	// certificates; set, it insists on TLS. Empty: whom the system trusts.
	NATSCA string `env:"KANAL_NATS_CA"`
	// NATSCert and NATSCertKey are PEM files: this process's certificate, which
	// insists on TLS too, and its key.
	NATSCert    string `env:"KANAL_NATS_CERT"`
	NATSCertKey string `env:"KANAL_NATS_KEY"`
	// NATSInboxPrefix starts the subjects on which NATS answers this process, so
	// that permissions can keep others from listening.
	NATSInboxPrefix string `env:"KANAL_NATS_INBOX_PREFIX" envDefault:"_INBOX"`
}

var inbox = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// Validate returns every bad field, by variable name. It reads the files.
func (n NATS) Validate() error {
	var errs []error
	file := func(variable, path, allowed string, check func() error) {
		if path == "" {
			return
		}
		if err := check(); err != nil {
			errs = append(errs, fmt.Errorf("%w (%w)", Invalid(variable, path, allowed), err))
		}
	}
	file("KANAL_NATS_CREDS", n.NATSCreds, "a file with a user's JWT and seed", n.checkCreds)
	file("KANAL_NATS_NKEY", n.NATSNKey, "a file with the seed of a user", func() error { return checkSeed(n.NATSNKey) })
	file("KANAL_NATS_CA", n.NATSCA, "a PEM file of certificates", n.checkCA)
	if (n.NATSCert == "") != (n.NATSCertKey == "") {
		errs = append(errs, Invalid("KANAL_NATS_CERT", n.NATSCert, "set together with KANAL_NATS_KEY, or neither"))
	} else {
		file("KANAL_NATS_CERT", n.NATSCert, "a PEM file that KANAL_NATS_KEY has the key of", func() error {
			_, err := tls.LoadX509KeyPair(n.NATSCert, n.NATSCertKey)
			return err
		})
	}
	if (n.NATSUser == "") != (n.NATSPassword == "") {
		errs = append(errs, Invalid("KANAL_NATS_USER", n.NATSUser, "set together with KANAL_NATS_PASSWORD, or neither"))
	}
	if n.NATSInboxPrefix != "" && !inbox.MatchString(n.NATSInboxPrefix) {
		errs = append(errs, Invalid("KANAL_NATS_INBOX_PREFIX", n.NATSInboxPrefix, "a subject without wildcards, such as _INBOX_frontend"))
	}
	return errors.Join(append(errs, n.checkOne())...)
}

// checkOne wants at most one way of saying who this is.
func (n NATS) checkOne() error {
	var set []string
	for _, v := range [][2]string{{"KANAL_NATS_CREDS", n.NATSCreds}, {"KANAL_NATS_USER", n.NATSUser}, {"KANAL_NATS_NKEY", n.NATSNKey}} {
		if v[1] != "" {
			set = append(set, v[0])
		}
	}
	if len(set) < 2 {
		return nil
	}
	return fmt.Errorf("%s is set: must be empty where %s is", set[1], set[0])
}

func (n NATS) checkCreds() error {
	b, err := os.ReadFile(n.NATSCreds)
	if err != nil {
		return err
	}
	// A file without a JWT is given back as if it were one.
	if jwt, err := nkeys.ParseDecoratedJWT(b); err != nil || jwt == string(b) {
		return errors.Join(err, errors.New("no JWT in it"))
	}
	_, err = nkeys.ParseDecoratedUserNKey(b)
	return err
}

func checkSeed(path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		_, err = nkeys.ParseDecoratedUserNKey(b)
	}
	return err
}

func (n NATS) checkCA() error {
	b, err := os.ReadFile(n.NATSCA)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(b) {
		err = errors.New("no certificate in it")
	}
	return err
}

// Dial connects once, with the options of the configuration and more. Its error
// shows no password.
func (n NATS) Dial(opts ...nats.Option) (*nats.Conn, error) {
	servers := n.NATSURL
	if servers == "" {
		servers = nats.DefaultURL
	}
	nc, err := nats.Connect(servers, append(n.options(), opts...)...)
	var unreadable *url.Error
	if errors.As(err, &unreadable) {
		err = unreadable.Err // without the URL, which may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", redacted(servers), err)
	}
	return nc, nil
}

func (n NATS) options() (opts []nats.Option) {
	if n.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(n.NATSCreds))
	}
	if n.NATSUser != "" {
		opts = append(opts, nats.UserInfo(n.NATSUser, n.NATSPassword))
	}
	if n.NATSNKey != "" {
		opts = append(opts, func(o *nats.Options) error {
			option, err := nats.NkeyOptionFromSeed(n.NATSNKey)
			if err != nil {
				return err
			}
			return option(o)
		})
	}
	if n.NATSCA != "" {
		opts = append(opts, nats.RootCAs(n.NATSCA))
	}
	if n.NATSCert != "" {
		opts = append(opts, nats.ClientCert(n.NATSCert, n.NATSCertKey))
	}
	if n.NATSInboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(n.NATSInboxPrefix))
	}
	return opts
}

// redacted hides the passwords and tokens in a list of URLs.
func redacted(servers string) string {
	list := strings.Split(servers, ",")
	for i, s := range list {
		list[i] = strings.TrimSpace(s)
		u, err := url.Parse(list[i])
		switch {
		case err != nil:
			list[i] = "(not a URL)" // whatever is in it stays there
		case u.User != nil:
			if _, password := u.User.Password(); !password {
				u.User = url.User("xxxxx") // a token
			}
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}
