package kanalctl

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nats.go"

	"kanal/libs/service"
)

// Config is the part of the environment that says which cluster is meant.
type Config struct {
	service.NATS
	// Cluster is the name of the cluster.
	Cluster string `env:"KANAL_CLUSTER" envDefault:"kanal"`
	// Prefix is the first token of every subject.
	Prefix string `env:"KANAL_SUBJECT_PREFIX" envDefault:"kanal"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	return errors.Join(c.NATS.Validate(), service.Common{Cluster: c.Cluster, Prefix: c.Prefix, DrainTimeout: 1}.Validate())
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
	nc, err := cfg.Dial(nats.Name("kanalctl"), nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("%w; set KANAL_NATS_URL to where it is", err)
	}
	return nc, nil
}
