package frontend

import (
	"errors"
	"strings"
	"time"

	"kanal/libs/service"
	"kanal/libs/socketserver"
	"kanal/services/frontend/internal/requestlog"
)

// Config is the front end's part of the environment. Each listener takes more
// from KANAL_LISTENER_<NAME>_..., see Listener.
type Config struct {
	service.Common
	// Listeners are NAME://host:port, comma separated (listeners). An empty host
	// is every address, localhost both loopbacks.
	Listeners string `env:"KANAL_LISTENERS" envDefault:"PLAINTEXT://localhost:9092"`
	// AdvertisedListeners are what clients are told to connect to, NAME://host:port
	// (advertised.listeners); a listener without one is advertised as it is bound.
	AdvertisedListeners string `env:"KANAL_ADVERTISED_LISTENERS"`
	// Brokers is how many brokers clients see; with more than one, broker i is at
	// its listener's port + i.
	Brokers int32 `env:"KANAL_BROKERS" envDefault:"1"`
	// Processors per listener (num.network.threads); 0: one per CPU.
	Processors int `env:"KANAL_PROCESSORS" envDefault:"0"`
	// ProcessorAssignment is how a new connection gets its processor: round_robin
	// (each in turn, as Kafka) or least_loaded_of_two (of two that chance picks).
	ProcessorAssignment string `env:"KANAL_PROCESSOR_ASSIGNMENT" envDefault:"round_robin"`
	// RequestMaxBytes bounds one request, in bytes (socket.request.max.bytes).
	RequestMaxBytes int `env:"KANAL_REQUEST_MAX_BYTES" envDefault:"104857600"`
	// MaxInFlight is how many requests of one connection may be under way; Kafka's
	// brokers take one.
	MaxInFlight int `env:"KANAL_MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION" envDefault:"1"`
	// Backlog of listening sockets (socket.listen.backlog.size).
	Backlog int `env:"KANAL_LISTEN_BACKLOG" envDefault:"1024"`
	// SendBuffer and ReceiveBuffer are the bytes of each client's socket; -1: the
	// system tunes them, which Kafka's 102400 would prevent.
	SendBuffer    int `env:"KANAL_SOCKET_SEND_BUFFER_BYTES" envDefault:"-1"`
	ReceiveBuffer int `env:"KANAL_SOCKET_RECEIVE_BUFFER_BYTES" envDefault:"-1"`
	// MaxIdle is how long a connection may bring nothing (connections.max.idle.ms);
	// 0 or less: for ever. One whose request is under way is not idle, unlike in
	// Kafka.
	MaxIdle time.Duration `env:"KANAL_CONNECTIONS_MAX_IDLE" envDefault:"10m"`
	// SSL is for all listeners with TLS that do not set their own.
	SSL `envPrefix:"KANAL_"`
	// HandshakeTimeout is how long a new connection may take for its TLS handshake
	// and its PROXY header; 0 or less: for ever.
	HandshakeTimeout time.Duration `env:"KANAL_HANDSHAKE_TIMEOUT" envDefault:"10s"`
	// FirstByteTimeout is how long a new connection may take until its first
	// request is complete; 0 or less: for ever.
	FirstByteTimeout time.Duration `env:"KANAL_FIRST_BYTE_TIMEOUT" envDefault:"30s"`
	// WriteTimeout is how long a client may take nothing of the answers that are
	// due to it; 0 or less: for ever.
	WriteTimeout time.Duration `env:"KANAL_WRITE_TIMEOUT" envDefault:"60s"`
	// MaxConnections in total, and of each listener without a limit of its own
	// (max.connections). Privileged listeners beside others are not held by the
	// total: for each of their connections above it the least recently active
	// client's is closed.
	MaxConnections int `env:"KANAL_MAX_CONNECTIONS" envDefault:"2147483647"`
	// MaxConnectionsAction is what happens at MaxConnections or a listener's limit:
	// wait (the listener accepts no more until one closes, as Kafka) or refuse
	// (accepted and closed at once).
	MaxConnectionsAction string `env:"KANAL_MAX_CONNECTIONS_ACTION" envDefault:"wait"`
	// MaxConnectionsPerIP of one address (max.connections.per.ip); 0 needs
	// overrides, and lets in nobody else.
	MaxConnectionsPerIP int `env:"KANAL_MAX_CONNECTIONS_PER_IP" envDefault:"2147483647"`
	// MaxConnectionsPerIPOverrides are host:count, comma separated
	// (max.connections.per.ip.overrides); a host name stands for all its addresses
	// at start, an IPv6 address is in brackets.
	MaxConnectionsPerIPOverrides string `env:"KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES"`
	// ConnectionRate is how many connections a second are accepted in total
	// (max.connection.creation.rate), ConnectionBurst how many at once after a quiet
	// time; 0: a second's worth.
	ConnectionRate  int `env:"KANAL_MAX_CONNECTION_CREATION_RATE" envDefault:"2147483647"`
	ConnectionBurst int `env:"KANAL_MAX_CONNECTION_CREATION_BURST" envDefault:"0"`
	// ConnectionRatePerIP and ConnectionBurstPerIP are the same for each address
	// (connection_creation_rate).
	ConnectionRatePerIP  int `env:"KANAL_CONNECTION_CREATION_RATE_PER_IP" envDefault:"2147483647"`
	ConnectionBurstPerIP int `env:"KANAL_CONNECTION_CREATION_BURST_PER_IP" envDefault:"0"`
	// CredentialsFile has the users of listeners with SASL, beside those that the
	// cluster keeps; it is read again when it changes.
	CredentialsFile string `env:"KANAL_SASL_CREDENTIALS_FILE"`
	// QueuedMaxRequests bounds the requests of one service that wait for a
	// handler (queued.max.requests).
	QueuedMaxRequests int `env:"KANAL_QUEUED_MAX_REQUESTS" envDefault:"500"`
	// QueuedMaxRequestBytes bounds the bytes of requests in flight, from their first
	// byte to their answer (queued.max.request.bytes); partial ones may have half of
	// it. 0: a quarter of the process's memory, 16 MiB to 1 GiB.
	QueuedMaxRequestBytes int64 `env:"KANAL_QUEUED_MAX_REQUEST_BYTES" envDefault:"0"`
	// ParkedMaxBytes bounds the bytes of waiting long polls that are kept for
	// sending again, should their handler die. 0: a sixteenth of the process's
	// memory, 4 to 256 MiB.
	ParkedMaxBytes int64 `env:"KANAL_PARKED_MAX_BYTES" envDefault:"0"`
	// ResponseMaxBytes is divided among requests under way: what each may be
	// answered with, in bytes, until the answer is with the socket. 0: a quarter of the process's memory, 16 MiB to 1 GiB.
	ResponseMaxBytes int64 `env:"KANAL_RESPONSE_MAX_BYTES" envDefault:"0"`
	// RequestTimeout is how long a request waits for a handler and its answer.
	RequestTimeout time.Duration `env:"KANAL_REQUEST_TIMEOUT" envDefault:"30s"`
	// RequestLog is where a line for each request that has ended goes: off,
	// memory (the newest, at /requests of KANAL_HTTP_ADDR), stderr, or a file's
	// path (kafka.request.logger).
	RequestLog string `env:"KANAL_REQUEST_LOG" envDefault:"off"`
	// RequestLogSample writes one of so many of those that the rest lets through.
	RequestLogSample int `env:"KANAL_REQUEST_LOG_SAMPLE" envDefault:"1"`
	// RequestLogSlow leaves out what took less; the waiting of long polls does not
	// count.
	RequestLogSlow time.Duration `env:"KANAL_REQUEST_LOG_SLOW" envDefault:"0s"`
	// RequestLogClients, RequestLogAPIs and RequestLogPrincipals leave out all
	// requests but theirs, unless empty.
	RequestLogClients    []string `env:"KANAL_REQUEST_LOG_CLIENTS"`
	RequestLogAPIs       []string `env:"KANAL_REQUEST_LOG_APIS"`
	RequestLogPrincipals []string `env:"KANAL_REQUEST_LOG_PRINCIPALS"`
	// HTTPToken lets whoever knows it close connections and drain handlers at
	// KANAL_HTTP_ADDR, as a bearer token; without one nobody can do so over HTTP.
	HTTPToken string `env:"KANAL_HTTP_TOKEN"`
	// TakeoverSocket is the path of a unix socket by which a front end that starts
	// gets the listening sockets of the one that runs on the same machine, which
	// then drains and ends. Empty: there is no such thing.
	TakeoverSocket string `env:"KANAL_TAKEOVER_SOCKET"`
	// RequiredServices must have announced themselves, once, before a kafka
	// listener opens its ports.
	RequiredServices []string `env:"KANAL_REQUIRED_SERVICES" envDefault:"metadata,records,groups"`

	listenerVariables map[string]string // what listeners read; nil: the environment
}

// maxSocketPath is below what the kernel takes (sun_path, 107), for the longer
// name that a socket is made under.
const maxSocketPath = 100

var assignments = map[string]socketserver.Assignment{
	"round_robin": socketserver.RoundRobin, "least_loaded_of_two": socketserver.LeastLoadedOfTwo,
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	errs := []error{c.Common.Validate()}
	bad := func(wrong bool, variable string, value any, allowed string) {
		if wrong {
			errs = append(errs, service.Invalid(variable, value, allowed))
		}
	}
	bad(c.Brokers < 1 || c.Brokers > 1000, "KANAL_BROKERS", c.Brokers, "1 to 1000")
	bad(c.Processors < 0, "KANAL_PROCESSORS", c.Processors, "0 (one per CPU) or more")
	_, known := assignments[c.ProcessorAssignment]
	bad(!known, "KANAL_PROCESSOR_ASSIGNMENT", c.ProcessorAssignment, "round_robin or least_loaded_of_two")
	bad(c.RequestMaxBytes < 1024 || c.RequestMaxBytes > 128<<20, "KANAL_REQUEST_MAX_BYTES", c.RequestMaxBytes, "1024 to 134217728")
	bad(c.MaxInFlight < 1 || c.MaxInFlight > 1000, "KANAL_MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION", c.MaxInFlight, "1 to 1000")
	bad(c.Backlog < 1, "KANAL_LISTEN_BACKLOG", c.Backlog, "at least 1")
	bad(c.SendBuffer < 1 && c.SendBuffer != -1, "KANAL_SOCKET_SEND_BUFFER_BYTES", c.SendBuffer, "at least 1, or -1: the system decides")
	bad(c.ReceiveBuffer < 1 && c.ReceiveBuffer != -1, "KANAL_SOCKET_RECEIVE_BUFFER_BYTES", c.ReceiveBuffer, "at least 1, or -1: the system decides")
	bad(c.QueuedMaxRequests < 1, "KANAL_QUEUED_MAX_REQUESTS", c.QueuedMaxRequests, "at least 1")
	bad(c.QueuedMaxRequestBytes != 0 && c.QueuedMaxRequestBytes < 2*int64(c.RequestMaxBytes), "KANAL_QUEUED_MAX_REQUEST_BYTES", c.QueuedMaxRequestBytes, "at least twice KANAL_REQUEST_MAX_BYTES, or 0: a share of the memory")
	bad(c.ParkedMaxBytes < 0, "KANAL_PARKED_MAX_BYTES", c.ParkedMaxBytes, "1 or more, or 0: a share of the memory")
	bad(c.ResponseMaxBytes != 0 && c.ResponseMaxBytes < 1<<20, "KANAL_RESPONSE_MAX_BYTES", c.ResponseMaxBytes, "at least 1048576, or 0: a share of the memory")
	bad(c.RequestTimeout < 100*time.Millisecond, "KANAL_REQUEST_TIMEOUT", c.RequestTimeout, "a duration of at least 100ms")
	bad(c.RequestLog == "", "KANAL_REQUEST_LOG", c.RequestLog, "off, memory, stderr or a file's path")
	bad(c.RequestLogSample < 1, "KANAL_REQUEST_LOG_SAMPLE", c.RequestLogSample, "at least 1")
	bad(c.RequestLogSlow < 0, "KANAL_REQUEST_LOG_SLOW", c.RequestLogSlow, "0s or more")
	bad(requestlog.Config{APIs: c.RequestLogAPIs}.Validate() != nil, "KANAL_REQUEST_LOG_APIS", strings.Join(c.RequestLogAPIs, ","), "names of Kafka's apis, such as Produce,Fetch")
	bad(len(c.TakeoverSocket) > maxSocketPath, "KANAL_TAKEOVER_SOCKET", c.TakeoverSocket, "a path of at most 100 bytes")
	_, err := c.listeners()
	return errors.Join(append(errs, c.validateQuotas(), err)...)
}

func (c Config) requestLog() requestlog.Config {
	return requestlog.Config{
		Output: c.RequestLog, Sample: c.RequestLogSample, Slow: c.RequestLogSlow,
		Clients: c.RequestLogClients, APIs: c.RequestLogAPIs, Principals: c.RequestLogPrincipals,
	}
}
