package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// BrokerConfigDef describes one config of brokers (section 2 of Kafka's keys),
// and which of the front end's variables it replaces.
type BrokerConfigDef struct {
	ConfigDef
	// Variable of the environment with the same meaning; empty for what only
	// listeners have.
	Variable string
	// OfListener follows KANAL_LISTENER_<NAME>_ in the variable of one listener,
	// whose config has the prefix listener.name.<name>. ((L) in Kafka's table);
	// empty for what listeners do not have of their own.
	OfListener string
	// Unit follows the value in the variable: ms for a duration.
	Unit string
	// Fixed is what a listener has for as long as it runs: the config counts for
	// a listener that is being added (W6, W10, W11).
	Fixed bool
}

// Keys with a meaning of their own for those who apply them.
const (
	ConfigListeners           = "listeners"
	ConfigAdvertisedListeners = "advertised.listeners"
	ConfigProtocolMap         = "listener.security.protocol.map"
	ConfigNetworkThreads      = "num.network.threads"

	configPerIP          = "max.connections.per.ip"
	configPerIPOverrides = "max.connections.per.ip.overrides"
)

// restart is the end of the documentation of what is read at start.
const restart = " Read when a front end starts."

// BrokerConfigDefs lists the configs of brokers by key. Those that are ReadOnly
// come from the environment alone (W13).
var BrokerConfigDefs = []BrokerConfigDef{
	{ConfigDef: ConfigDef{Name: ConfigAdvertisedListeners, Type: ConfigList, check: checkAdvertised,
		Doc: "What clients are told to connect to, NAME://host:port; a listener without one is advertised as it is bound. The same for all front ends: one address in front of all of them."},
		Variable: "KANAL_ADVERTISED_LISTENERS"},
	{ConfigDef: ConfigDef{Name: "connection.failed.authentication.delay.ms", Type: ConfigLong, Default: "100", max: anyInt,
		Doc: "Milliseconds that pass before a failed authentication is answered and closed."}, OfListener: "SASL_FAILURE_DELAY", Unit: "ms", Fixed: true},
	{ConfigDef: ConfigDef{Name: "connections.max.idle.ms", Type: ConfigLong, Default: "600000", ReadOnly: true, max: anyLong,
		Doc: "How long a connection may bring nothing, in milliseconds." + restart}, Variable: "KANAL_CONNECTIONS_MAX_IDLE", Unit: "ms"},
	{ConfigDef: ConfigDef{Name: "connections.max.reauth.ms", Type: ConfigLong, Default: "0", max: anyLong,
		Doc: "How long a session lasts until the client has to authenticate again, in milliseconds; 0: as long as its credential."}, OfListener: "SASL_MAX_REAUTH", Unit: "ms", Fixed: true},
	{ConfigDef: ConfigDef{Name: "kanal.connection.creation.burst.per.ip", Type: ConfigInt, Default: "0", max: anyInt,
		Doc: "Connections of one address accepted at once after a quiet time; 0: a second's worth."}, Variable: "KANAL_CONNECTION_CREATION_BURST_PER_IP"},
	{ConfigDef: ConfigDef{Name: "kanal.connection.creation.rate.per.ip", Type: ConfigInt, Default: "2147483647", min: 1, max: anyInt,
		Doc: "Connections of one address accepted a second; above it they are kept silent for up to a second and closed. Kafka has it as a client quota (connection_creation_rate of entity ip)."},
		Variable: "KANAL_CONNECTION_CREATION_RATE_PER_IP"},
	{ConfigDef: ConfigDef{Name: "kanal.handler", Type: ConfigString, Doc: "Service that gets the frames of a listener of kind frames."}, OfListener: "HANDLER", Fixed: true},
	{ConfigDef: ConfigDef{Name: "kanal.kind", Type: ConfigString, Default: "kafka", values: []string{"kafka", "frames"},
		Doc: "What a listener speaks: kafka is routed by api key, frames are any length-prefixed protocol."}, OfListener: "KIND", Fixed: true},
	{ConfigDef: ConfigDef{Name: "kanal.max.connection.creation.burst", Type: ConfigInt, Default: "0", max: anyInt,
		Doc: "Connections accepted at once after a quiet time; 0: a second's worth."},
		Variable: "KANAL_MAX_CONNECTION_CREATION_BURST", OfListener: "MAX_CONNECTION_CREATION_BURST"},
	{ConfigDef: ConfigDef{Name: "kanal.max.connections.action", Type: ConfigString, Default: "wait", values: []string{"wait", "refuse"},
		Doc: "At max.connections: wait, the listener accepts no more until a connection closes; refuse, what comes is closed at once."},
		Variable: "KANAL_MAX_CONNECTIONS_ACTION"},
	{ConfigDef: ConfigDef{Name: "kanal.privileged", Type: ConfigBoolean, Default: "false",
		Doc: "Requests of the listener carry the privileged flag (inter.broker.listener.name)."}, OfListener: "PRIVILEGED", Fixed: true},
	{ConfigDef: ConfigDef{Name: "kanal.request.log", Type: ConfigString, Default: "off", values: []string{"off", "memory", "stderr"},
		Doc: "Where a line for each request that has ended goes: nowhere, to /requests of the status port, or to standard error. A file can be named by the environment alone."},
		Variable: "KANAL_REQUEST_LOG"},
	{ConfigDef: ConfigDef{Name: "kanal.request.log.apis", Type: ConfigList, Doc: "Requests of other apis are left out of the request log."}, Variable: "KANAL_REQUEST_LOG_APIS"},
	{ConfigDef: ConfigDef{Name: "kanal.request.log.clients", Type: ConfigList, Doc: "Requests of other client ids are left out of the request log."}, Variable: "KANAL_REQUEST_LOG_CLIENTS"},
	{ConfigDef: ConfigDef{Name: "kanal.request.log.principals", Type: ConfigList, Doc: "Requests of other principals are left out of the request log."}, Variable: "KANAL_REQUEST_LOG_PRINCIPALS"},
	{ConfigDef: ConfigDef{Name: "kanal.request.log.sample", Type: ConfigInt, Default: "1", min: 1, max: anyInt,
		Doc: "One of so many requests is written to the request log."}, Variable: "KANAL_REQUEST_LOG_SAMPLE"},
	{ConfigDef: ConfigDef{Name: "kanal.request.log.slow.ms", Type: ConfigLong, Default: "0", max: anyInt,
		Doc: "Requests that took less, in milliseconds, are left out of the request log."}, Variable: "KANAL_REQUEST_LOG_SLOW", Unit: "ms"},
	{ConfigDef: ConfigDef{Name: "kanal.ssl.key.location", Type: ConfigString,
		Doc: "PEM file with the key of ssl.keystore.location, if it is not in there; new connections use what it holds."}, OfListener: "SSL_KEY_FILE"},
	{ConfigDef: ConfigDef{Name: ConfigProtocolMap, Type: ConfigString, check: checkProtocols,
		Doc: "NAME:PROTOCOL, comma separated: security protocols of listeners, PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. A listener keeps the one that it was opened with."}},
	{ConfigDef: ConfigDef{Name: ConfigListeners, Type: ConfigList, check: checkListeners,
		Doc: "NAME://host:port, comma separated: listeners of every front end, in place of those of its environment. One that is added opens, one that is missing closes with its connections."},
		Variable: "KANAL_LISTENERS"},
	{ConfigDef: ConfigDef{Name: "max.connection.creation.rate", Type: ConfigInt, Default: "2147483647", min: 1, max: anyInt,
		Doc: "Connections accepted a second by a front end, or one of its listeners; above it they wait."},
		Variable: "KANAL_MAX_CONNECTION_CREATION_RATE", OfListener: "MAX_CONNECTION_CREATION_RATE"},
	{ConfigDef: ConfigDef{Name: "max.connections", Type: ConfigInt, Default: "2147483647", min: 1, max: anyInt,
		Doc: "Connections of a front end, or of one of its listeners."}, Variable: "KANAL_MAX_CONNECTIONS", OfListener: "MAX_CONNECTIONS"},
	{ConfigDef: ConfigDef{Name: configPerIP, Type: ConfigInt, Default: "2147483647", max: anyInt,
		Doc: "Connections of one address to a front end; 0 needs max.connections.per.ip.overrides, and lets in nobody else."},
		Variable: "KANAL_MAX_CONNECTIONS_PER_IP"},
	{ConfigDef: ConfigDef{Name: configPerIPOverrides, Type: ConfigList, check: checkOverrides,
		Doc: "host:count, comma separated, IPv6 in brackets: connections of single addresses. A name stands for all its addresses when the config is applied."},
		Variable: "KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES"},
	{ConfigDef: ConfigDef{Name: ConfigNetworkThreads, Type: ConfigInt, min: 1, max: 1024,
		Doc: "Processors of each listener, or of one. Connections move to others when it is lowered."}, Variable: "KANAL_PROCESSORS", OfListener: "PROCESSORS"},
	{ConfigDef: ConfigDef{Name: "queued.max.request.bytes", Type: ConfigLong, ReadOnly: true, max: anyLong,
		Doc: "Bytes of requests in flight; by default a share of the process's memory." + restart}, Variable: "KANAL_QUEUED_MAX_REQUEST_BYTES"},
	{ConfigDef: ConfigDef{Name: "queued.max.requests", Type: ConfigInt, Default: "500", ReadOnly: true, min: 1, max: anyInt,
		Doc: "Requests of one service that wait for a handler." + restart}, Variable: "KANAL_QUEUED_MAX_REQUESTS"},
	{ConfigDef: ConfigDef{Name: "sasl.enabled.mechanisms", Type: ConfigList, Default: "SCRAM-SHA-512,SCRAM-SHA-256", values: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"},
		Doc: "Mechanisms that clients of a listener may use."}, OfListener: "SASL_MECHANISMS", Fixed: true},
	{ConfigDef: ConfigDef{Name: "sasl.server.max.receive.size", Type: ConfigInt, Default: "524288", min: 1024, max: anyInt,
		Doc: "Largest frame of a client that has not authenticated."}, OfListener: "SASL_MAX_RECEIVE_BYTES", Fixed: true},
	{ConfigDef: ConfigDef{Name: "socket.listen.backlog.size", Type: ConfigInt, Default: "1024", ReadOnly: true, min: 1, max: anyInt,
		Doc: "Backlog of listening sockets." + restart}, Variable: "KANAL_LISTEN_BACKLOG"},
	{ConfigDef: ConfigDef{Name: "socket.receive.buffer.bytes", Type: ConfigInt, Default: "-1", ReadOnly: true, min: -1, max: anyInt,
		Doc: "Receive buffer of each connection; -1: the system's." + restart}, Variable: "KANAL_SOCKET_RECEIVE_BUFFER_BYTES"},
	{ConfigDef: ConfigDef{Name: "socket.request.max.bytes", Type: ConfigInt, Default: "104857600", ReadOnly: true, min: 1024, max: anyInt,
		Doc: "Largest request." + restart}, Variable: "KANAL_REQUEST_MAX_BYTES"},
	{ConfigDef: ConfigDef{Name: "socket.send.buffer.bytes", Type: ConfigInt, Default: "-1", ReadOnly: true, min: -1, max: anyInt,
		Doc: "Send buffer of each connection; -1: the system's." + restart}, Variable: "KANAL_SOCKET_SEND_BUFFER_BYTES"},
	{ConfigDef: ConfigDef{Name: "ssl.cipher.suites", Type: ConfigList, Doc: "Cipher suites of TLS 1.2, by their IANA names."}, OfListener: "SSL_CIPHER_SUITES", Fixed: true},
	{ConfigDef: ConfigDef{Name: "ssl.client.auth", Type: ConfigString, values: []string{"none", "requested", "required"},
		Doc: "Whether clients are asked for a certificate."}, OfListener: "SSL_CLIENT_AUTH", Fixed: true},
	{ConfigDef: ConfigDef{Name: "ssl.enabled.protocols", Type: ConfigList, values: []string{"TLSv1.2", "TLSv1.3"}, Doc: "Versions of TLS."}, OfListener: "SSL_ENABLED_PROTOCOLS", Fixed: true},
	{ConfigDef: ConfigDef{Name: "ssl.keystore.location", Type: ConfigString,
		Doc: "PEM file with the listener's certificate, those of its issuers, and its key; new connections use what it holds."}, OfListener: "SSL_CERTIFICATE_FILE"},
	{ConfigDef: ConfigDef{Name: "ssl.principal.mapping.rules", Type: ConfigString, Doc: "Rules that make principals of the names in certificates."}, OfListener: "SSL_PRINCIPAL_MAPPING_RULES", Fixed: true},
	{ConfigDef: ConfigDef{Name: "ssl.truststore.location", Type: ConfigString,
		Doc: "PEM file with who may have issued certificates of clients; new connections use what it holds."}, OfListener: "SSL_TRUSTED_FILE"},
}

// listenerPrefix starts the keys of one listener; its name in lower case and a
// dot follow.
const listenerPrefix = "listener.name."

// ListenerConfigKey is the key of a config of one listener.
func ListenerConfigKey(listener, config string) string {
	return listenerPrefix + strings.ToLower(listener) + "." + config
}

// BrokerConfig finds the definition of a config of brokers, and the listener
// (in upper case) that the key's prefix names, if it has one. The error says
// what is wrong with the key.
func BrokerConfig(key string) (d *BrokerConfigDef, listener string, _ error) {
	name := key
	if rest, ok := strings.CutPrefix(key, listenerPrefix); ok {
		if listener, name, ok = strings.Cut(rest, "."); !ok || !legalListener(listener) || listener != strings.ToLower(listener) {
			return nil, "", fmt.Errorf("%s: a listener's config is listener.name.<name>.<config> with its name in lower case", key)
		}
	}
	i, ok := slices.BinarySearchFunc(BrokerConfigDefs, name, func(d BrokerConfigDef, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return nil, "", fmt.Errorf("%s: no such broker config", key)
	}
	d = &BrokerConfigDefs[i]
	switch {
	case listener != "" && d.OfListener == "":
		return nil, "", fmt.Errorf("%s: a listener has no %s of its own", key, name)
	case listener == "" && d.OfListener != "" && d.Variable == "":
		return nil, "", fmt.Errorf("%s: only a listener has it: listener.name.<name>.%s", key, name)
	}
	return d, strings.ToUpper(listener), nil
}
