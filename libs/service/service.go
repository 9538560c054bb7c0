// Package service is the life of a process around one service: it reads the
// environment, sets up logging, metrics and NATS, serves health over HTTP,
// waits for signals and ends the service in order. Only this package sets log
// handlers, reads signals or exits.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

// Deps is what a service gets from its process.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Connect opens a NATS connection of its own for the caller, who closes it.
	// It waits until NATS can be reached or the process is told to stop.
	Connect func(name string, opts ...nats.Option) (*nats.Conn, error)
	Ready   *Readiness
	// Pages are what the process serves at KANAL_HTTP_ADDR; a service may add its
	// own. Nil where it serves none.
	Pages *http.ServeMux
}

// Connections are what an instance of a handler service needs of NATS.
type Connections struct {
	Small *nats.Conn // requests, and answers up to requestchannel.LargeFrame
	Large *nats.Conn // larger answers, which would keep small ones waiting
}

// ConnectHandler opens both connections of a handler, which closes them.
func (d Deps) ConnectHandler(name string) (c Connections, err error) {
	if c.Small, err = d.Connect(name); err != nil {
		return c, err
	}
	if c.Large, err = d.Connect(name + "-large"); err != nil {
		c.Small.Close()
	}
	return c, err
}

// Close ends both connections.
func (c Connections) Close() {
	c.Small.Close()
	c.Large.Close()
}

// Runner is a service. Run returns when everything that it started has ended;
// a context that ends means drain, and is no error.
type Runner interface {
	Run(ctx context.Context) error
}

// Common is the part of the configuration that every service has.
type Common struct {
	// Cluster separates clusters on one NATS: part of every subject and stream name.
	Cluster string `env:"KANAL_CLUSTER" envDefault:"kanal"`
	// Prefix is the first token of every subject.
	Prefix string `env:"KANAL_SUBJECT_PREFIX" envDefault:"kanal"`
	// DrainTimeout bounds how long a stopping service finishes what it holds.
	DrainTimeout time.Duration `env:"KANAL_DRAIN_TIMEOUT" envDefault:"30s"`
}

var token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate returns every bad field, by variable name.
func (c Common) Validate() error {
	var errs []error
	for name, value := range map[string]string{"KANAL_CLUSTER": c.Cluster, "KANAL_SUBJECT_PREFIX": c.Prefix} {
		if !token.MatchString(value) {
			errs = append(errs, Invalid(name, value, "1 to 64 letters, digits, - or _"))
		}
	}
	if c.DrainTimeout <= 0 {
		errs = append(errs, Invalid("KANAL_DRAIN_TIMEOUT", c.DrainTimeout, "a duration above 0, such as 30s"))
	}
	return errors.Join(errs...)
}

// Invalid is a configuration error: it names the variable, its value and what
// is allowed.
func Invalid(variable string, value any, allowed string) error {
	return fmt.Errorf("%s is %q: must be %s", variable, fmt.Sprint(value), allowed)
}

// Group runs services together: when one ends, the others are told to stop.
// It returns the first error.
func Group(ctx context.Context, runners ...Runner) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(runners))
	for _, r := range runners {
		go func() { results <- r.Run(ctx) }()
	}
	var first error
	for range runners {
		if err := <-results; err != nil && first == nil {
			first = err
		}
		cancel()
	}
	return first
}
