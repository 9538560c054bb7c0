package kanalctl

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nats.go"

	"kanal/libs/service"
)

// Config is the part of the environment that says which cluster is meant.
type Config struct {
	// NATSURL lists the servers, comma separated. Empty is nats://127.0.0.1:4222.
	NATSURL string `env:"KANAL_NATS_URL"`
	// Cluster is the name of the cluster.
	Cluster string `env:"KANAL_CLUSTER" envDefault:"kanal"`
	// Prefix is the first token of every subject.
	Prefix string `env:"KANAL_SUBJECT_PREFIX" envDefault:"kanal"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	return service.Common{Cluster: c.Cluster, Prefix: c.Prefix, DrainTimeout: 1}.Validate()
}

// variables lists the environment variables for the usage text.
func variables() string {
	var b strings.Builder
	params, _ := env.GetFieldParams(&Config{}) // fails for what is no struct
	for _, p := range params {
		fmt.Fprintf(&b, "  %s (%q)\n", p.Key, p.DefaultValue)
	}
	return b.String()
}

// connectTimeout bounds one attempt to reach a NATS server.
const connectTimeout = 3 * time.Second

// dial reaches NATS now or not at all: somebody waits for the answer. What was
// reached once is kept, because a watching one outlives a restart of NATS.
func dial(cfg Config) (*nats.Conn, error) {
	servers := cfg.NATSURL
	if servers == "" {
		servers = nats.DefaultURL
	}
	nc, err := nats.Connect(servers, nats.Name("kanalctl"), nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	var unreadable *url.Error
	if errors.As(err, &unreadable) {
		err = unreadable.Err // without the URL, which may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w; set KANAL_NATS_URL to where it is", redacted(servers), err)
	}
	return nc, nil
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
