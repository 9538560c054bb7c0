package socketserver

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"kanal/libs/memory"
	"kanal/libs/network"
	"kanal/libs/ssl"
)

// Kind says what a listener's frames are.
type Kind uint8

const (
	KindKafka  Kind = iota // Kafka requests: the header is parsed, the api key routes
	KindFrames             // any length-prefixed protocol: whole frames for one handler
)

// String is the kind's name in configuration.
func (k Kind) String() string { return [...]string{"kafka", "frames"}[k] }

// Config of a Server.
type Config struct {
	Listeners  []ListenerConfig
	Quotas     Quotas
	Assignment Assignment
	// RemovalLimit is how long RemoveListener lets requests under way be answered; 10 s if 0.
	RemovalLimit time.Duration
	// LastCall is how long Drain and RemoveListener take up requests that have arrived, so that a client which never
	// pauses does not keep them from ending; 1 s if 0.
	LastCall time.Duration
	Budget   *memory.Budget // of the requests in flight, asked before reading; nil: none
	// PrivilegedBudget is that of privileged listeners, which read on when clients have used theirs up; nil: they share Budget.
	PrivilegedBudget *memory.Budget
}

// ListenerConfig is one listener (A5).
type ListenerConfig struct {
	Name             string // unique, as in KANAL_LISTENERS (listeners)
	Kind             Kind
	SecurityProtocol string // PLAINTEXT (also if empty), SSL, SASL_PLAINTEXT or SASL_SSL
	Host             string // empty: every address; localhost: both loopbacks
	Port             int    // 0: whatever is free, on each broker port anew
	Brokers          int    // 1 (also if 0): broker 1 is at Port; more: Port is for bootstrap and broker i at Port + i
	Handler          string // KindFrames: the service that gets the frames
	Processors       int    // GOMAXPROCS if 0 (num.network.threads)
	Backlog          int    // 1024 if 0 (socket.listen.backlog.size)
	MaxRequestSize   int    // bytes of one frame, 104857600 if 0 (socket.request.max.bytes)
	Privileged       bool   // requests may be forwarded ones (A6)
	// MaxInFlight is how many requests of one connection may be under way; 1 if 0, as in Kafka. Answers leave in the order of
	// the requests.
	MaxInFlight   int
	SendBuffer    int // bytes of each socket; 0 or less: the system decides (socket.send.buffer.bytes, C3)
	ReceiveBuffer int // likewise (socket.receive.buffer.bytes, C1)

	// Authentication is for security protocols SASL_..., nil for the others.
	Authentication Authentication
	// MaxReceiveBeforeLogin bounds a frame of an authentication, 524288 if 0 (sasl.server.max.receive.size, N10).
	MaxReceiveBeforeLogin int
	// FailedAuthenticationDelay passes between a failed authentication and its answer and close; 0: none
	// (connection.failed.authentication.delay.ms, N16).
	FailedAuthenticationDelay time.Duration

	Proxy  ProxyConfig
	TLS    ssl.Config // SSL and SASL_SSL: certificates and what is asked of clients
	Quotas ListenerQuotas

	// How long a connection is kept that brings nothing; 0 or less: for ever.
	MaxIdle             time.Duration // without an event (connections.max.idle.ms, K1)
	HandshakeTimeout    time.Duration // from accept to the end of the TLS handshake
	FirstRequestTimeout time.Duration // from then, or from accept, to the first complete request
	WriteTimeout        time.Duration // while the peer takes nothing of the answers that are due to it
}

func (l ListenerConfig) withDefaults() ListenerConfig {
	setDefault(&l.SecurityProtocol, "PLAINTEXT")
	setDefault(&l.Brokers, 1)
	setDefault(&l.Processors, runtime.GOMAXPROCS(0)) // follows the limits of a container, unlike NumCPU
	setDefault(&l.Backlog, 1024)
	setDefault(&l.MaxRequestSize, 104857600)
	setDefault(&l.MaxReceiveBeforeLogin, 524288)
	return l
}

var securityProtocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// encrypted tells that the listener speaks TLS.
func (l *ListenerConfig) encrypted() bool {
	return l.SecurityProtocol == "SSL" || l.SecurityProtocol == "SASL_SSL"
}

func (l *ListenerConfig) deadlines() network.Deadlines {
	return network.Deadlines{Idle: l.MaxIdle, Handshake: l.HandshakeTimeout, FirstReceive: l.FirstRequestTimeout, Write: l.WriteTimeout}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (l *ListenerConfig) needsAuthentication() bool {
	return strings.HasPrefix(l.SecurityProtocol, "SASL_")
}

// validate reports all that is wrong with a listener whose defaults are set.
func (l ListenerConfig) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("listener %q: "+format, append([]any{l.Name}, args...)...))
		}
	}
	bad(l.Name == "", "no name")
	bad(l.Port < 0 || l.Port > 65535, "port %d", l.Port)
	bad(l.Brokers < 0 || l.Brokers > 1 && l.Port != 0 && l.Port+l.Brokers > 65535, "port %d with %d brokers", l.Port, l.Brokers)
	bad(l.Processors < 0, "%d processors", l.Processors)
	bad(l.Backlog < 0, "backlog of %d", l.Backlog)
	bad(l.MaxRequestSize < 0, "requests of at most %d bytes", l.MaxRequestSize)
	bad(!slices.Contains(securityProtocols, l.SecurityProtocol), "security protocol %s is none of %v", l.SecurityProtocol, securityProtocols)
	bad(l.needsAuthentication() != (l.Authentication != nil), "security protocol %s, authentication configured: %t", l.SecurityProtocol, l.Authentication != nil)
	bad(l.needsAuthentication() && l.Kind == KindFrames, "kind frames has no authentication")
	bad(l.MaxReceiveBeforeLogin < 0, "frames of at most %d bytes before login", l.MaxReceiveBeforeLogin)
	bad(l.FailedAuthenticationDelay < 0, "failed authentication delayed by %s", l.FailedAuthenticationDelay)
	bad(l.MaxIdle > 0 && l.FailedAuthenticationDelay >= l.MaxIdle, "failed authentication delayed by %s, idle connections closed after %s already", l.FailedAuthenticationDelay, l.MaxIdle) // K5
	bad(l.Kind == KindFrames && l.Handler == "", "kind frames needs a handler")
	if err := l.Proxy.validate(); err != nil {
		errs = append(errs, fmt.Errorf("listener %q: %w", l.Name, err))
	}
	if err := l.Quotas.validate(); err != nil {
		errs = append(errs, fmt.Errorf("listener %q: %w", l.Name, err))
	}
	return errors.Join(errs...)
}
