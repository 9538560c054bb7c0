package frontend

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
	"kanal/libs/socketserver"
)

// Listener is what a listener takes from KANAL_LISTENER_<NAME>_<VARIABLE>.
type Listener struct {
	// Kind is kafka (requests are routed by api key) or frames (any protocol of
	// length-prefixed frames, all of them for one handler).
	Kind string `env:"KIND" envDefault:"kafka"`
	// Handler is the service that gets the frames of kind frames.
	Handler string `env:"HANDLER"`
	// Protocol is the security protocol (listener.security.protocol.map).
	Protocol string `env:"PROTOCOL" envDefault:"PLAINTEXT"`
	// Privileged listeners may carry forwarded requests (inter.broker.listener.name).
	Privileged bool `env:"PRIVILEGED" envDefault:"false"`
	// Processors of this listener (listener.name.X.num.network.threads); 0:
	// KANAL_PROCESSORS.
	Processors int `env:"PROCESSORS" envDefault:"0"`
	// MaxConnections of this listener (listener.name.X.max.connections); not set:
	// KANAL_MAX_CONNECTIONS.
	MaxConnections int `env:"MAX_CONNECTIONS" envDefault:"2147483647"`
	// ConnectionRate and ConnectionBurst of this listener
	// (listener.name.X.max.connection.creation.rate), beside the total's.
	ConnectionRate  int `env:"MAX_CONNECTION_CREATION_RATE" envDefault:"2147483647"`
	ConnectionBurst int `env:"MAX_CONNECTION_CREATION_BURST" envDefault:"0"`
	// ProxyProtocol is what becomes of PROXY headers: off, accept (the trusted may
	// send one) or require (only the trusted may connect, and send one). Kafka has
	// nothing like it.
	ProxyProtocol string `env:"PROXY_PROTOCOL" envDefault:"off"`
	// ProxyTrusted are the addresses of proxies, such as 10.0.0.0/8.
	ProxyTrusted []netip.Prefix `env:"PROXY_TRUSTED"`

	SSL
	SASL
}

// listener is a listener with all its configuration.
type listener struct {
	socketserver.ListenerConfig
	advertised cluster.Endpoint
	own        Listener
}

// protocols are the security protocols.
var protocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

var proxyModes = map[string]socketserver.ProxyMode{
	"off": socketserver.ProxyOff, "accept": socketserver.ProxyAccept, "require": socketserver.ProxyRequire,
}

// listeners reads and checks the listeners; the error names everything wrong.
func (c Config) listeners() (out []listener, _ error) {
	bound, err := parseEndpoints("KANAL_LISTENERS", c.Listeners)
	advertised, err2 := parseEndpoints("KANAL_ADVERTISED_LISTENERS", c.AdvertisedListeners)
	errs := []error{err, err2}
	if err == nil && len(bound) == 0 {
		errs = append(errs, service.Invalid("KANAL_LISTENERS", c.Listeners, "at least one NAME://host:port"))
	}
	for _, e := range bound {
		l, err := c.listener(e)
		errs = append(errs, err)
		out = append(out, l)
	}
	errs = append(errs, c.overlaps(bound), advertise(out, advertised, c.AdvertisedListeners))
	return out, errors.Join(errs...)
}

func (c Config) listener(e cluster.Endpoint) (listener, error) {
	prefix := listenerPrefix(e.Name)
	own := Listener{SSL: c.SSL}
	if err := env.ParseWithOptions(&own, env.Options{Prefix: prefix, Environment: c.listenerVariables}); err != nil {
		return listener{}, unreadable(prefix, err)
	}
	l := listener{advertised: e, own: own, ListenerConfig: socketserver.ListenerConfig{
		Name: e.Name, Host: e.Host, Port: e.Port, Brokers: int(c.Brokers), Processors: processors(cmp.Or(own.Processors, c.Processors)), Backlog: c.Backlog,
		MaxInFlight: c.MaxInFlight, MaxRequestSize: c.RequestMaxBytes, SecurityProtocol: own.Protocol, Privileged: own.Privileged, Handler: own.Handler,
		Quotas: own.quotas(), SendBuffer: c.SendBuffer, ReceiveBuffer: c.ReceiveBuffer,
		MaxIdle: c.MaxIdle, HandshakeTimeout: c.HandshakeTimeout, FirstRequestTimeout: c.FirstByteTimeout, WriteTimeout: c.WriteTimeout,
	}}
	var errs []error
	switch own.Kind {
	case "kafka":
	case "frames":
		l.ListenerConfig.Kind, l.Brokers = socketserver.KindFrames, 1
		if own.Handler == "" {
			errs = append(errs, service.Invalid(prefix+"HANDLER", own.Handler, "the service that gets the frames"))
		}
	default:
		errs = append(errs, service.Invalid(prefix+"KIND", own.Kind, "kafka or frames"))
	}
	switch {
	case !slices.Contains(protocols, own.Protocol):
		errs = append(errs, service.Invalid(prefix+"PROTOCOL", own.Protocol, "one of "+strings.Join(protocols, ", ")))
	case saslProtocol(own.Protocol) && own.Kind == "frames":
		errs = append(errs, service.Invalid(prefix+"PROTOCOL", own.Protocol, "one without SASL for kind frames, which has no authentication"))
	case saslProtocol(own.Protocol):
		l.MaxReceiveBeforeLogin, l.FailedAuthenticationDelay = own.MaxReceiveBytes, own.FailureDelay
		errs = append(errs, own.SASL.validate(prefix, c.MaxIdle))
	}
	mode, known := proxyModes[own.ProxyProtocol]
	if l.Proxy = (socketserver.ProxyConfig{Mode: mode, Trusted: own.ProxyTrusted}); !known {
		errs = append(errs, service.Invalid(prefix+"PROXY_PROTOCOL", own.ProxyProtocol, "off, accept or require"))
	}
	if mode != socketserver.ProxyOff && len(own.ProxyTrusted) == 0 {
		errs = append(errs, service.Invalid(prefix+"PROXY_TRUSTED", "", "addresses of proxies, such as 10.0.0.0/8,192.168.1.7/32"))
	}
	if sslProtocol(own.Protocol) {
		l.TLS = own.SSL.config()
		if saslProtocol(own.Protocol) { // P16: clients that log in need no certificate because others do
			l.TLS.ClientAuth = c.variable(prefix + "SSL_CLIENT_AUTH")
		}
		errs = append(errs, validateSSL(prefix, l.TLS))
	}
	if own.Processors < 0 {
		errs = append(errs, service.Invalid(prefix+"PROCESSORS", own.Processors, "0 (KANAL_PROCESSORS) or more"))
	}
	if own.MaxConnections < 1 { // D15
		errs = append(errs, service.Invalid(prefix+"MAX_CONNECTIONS", own.MaxConnections, "at least 1"))
	}
	if own.ConnectionRate < 1 {
		errs = append(errs, service.Invalid(prefix+"MAX_CONNECTION_CREATION_RATE", own.ConnectionRate, "at least 1"))
	}
	if own.ConnectionBurst < 0 {
		errs = append(errs, service.Invalid(prefix+"MAX_CONNECTION_CREATION_BURST", own.ConnectionBurst, "0 (a second's worth) or more"))
	}
	return l, errors.Join(errs...)
}

// variable is a variable of a listener.
func (c Config) variable(name string) string {
	if c.listenerVariables == nil {
		return os.Getenv(name)
	}
	return c.listenerVariables[name]
}

// unreadable names the variables of a listener that are not of their type.
func unreadable(prefix string, err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, e := range all.Errors {
		var parse env.ParseError
		if !errors.As(e, &parse) {
			errs = append(errs, e)
			continue
		}
		field, _ := reflect.TypeFor[Listener]().FieldByName(parse.Name)
		variable, allowed := prefix+field.Tag.Get("env"), "a whole number"
		switch {
		case field.Type.Kind() == reflect.Bool:
			allowed = "true or false"
		case field.Type == reflect.TypeFor[[]netip.Prefix]():
			allowed = "addresses with the length of their prefix, such as 10.0.0.0/8"
		case field.Type == reflect.TypeFor[time.Duration]():
			allowed = "a duration such as 30s"
		}
		errs = append(errs, service.Invalid(variable, os.Getenv(variable), allowed))
	}
	return errors.Join(errs...)
}

// overlaps reports listeners that cannot be bound beside each other.
func (c Config) overlaps(all []cluster.Endpoint) error {
	var errs []error
	for _, err := range cluster.CheckEndpoints(all, c.Brokers) {
		errs = append(errs, fmt.Errorf("KANAL_LISTENERS: %w", err))
	}
	return errors.Join(errs...)
}

// advertise sets what clients are told, for listeners that have it set.
func advertise(all []listener, advertised []cluster.Endpoint, value string) error {
	var errs []error
	for _, e := range advertised {
		found := false
		for i := range all {
			if all[i].Name == e.Name {
				all[i].advertised, found = e, true
			}
		}
		if !found || e.Host == "" || e.Port == 0 {
			errs = append(errs, service.Invalid("KANAL_ADVERTISED_LISTENERS", value, fmt.Sprintf("NAME://host:port of listeners in KANAL_LISTENERS; %s is not", e)))
		}
	}
	return errors.Join(errs...)
}

func parseEndpoints(variable, value string) ([]cluster.Endpoint, error) {
	all, bad := cluster.ParseEndpoints(value)
	var errs []error
	for _, part := range bad {
		errs = append(errs, service.Invalid(variable, part, "NAME://host:port, such as PLAINTEXT://localhost:9092"))
	}
	return all, errors.Join(errs...)
}

// address is what is announced for the listener, whose port may have been 0.
func (l listener) address(s *socketserver.Server) requestchannel.Address {
	a := requestchannel.Address{Host: l.advertised.Host, Port: l.advertised.Port, Brokers: l.Brokers}
	if a.Host == "" {
		a.Host, _ = os.Hostname() // an empty host is everywhere; clients need a name
	}
	if _, port, err := net.SplitHostPort(s.Addr(l.Name, 0).String()); err == nil && a.Port == 0 {
		a.Port, _ = strconv.Atoi(port)
	}
	return a
}
