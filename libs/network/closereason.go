package network

// CloseReason is why a connection was closed: a log field and a metric label.
type CloseReason uint8

// The reasons. The first group is normal life, the second a limit that the peer met, the third who the peer is, or is
// not, the fourth the peer's fault, the last ours.
const (
	ReasonNone                  CloseReason = iota // not closed
	ReasonPeerClosed                               // the peer closed after its last answer
	ReasonPeerReset                                // the peer reset the connection, or went away with answers unread
	ReasonHandshakeAborted                         // the peer went away within the TLS handshake or the PROXY header (P7)
	ReasonHandlerClosed                            // the handler answered CloseConnection (M8, M9)
	ReasonIdleExpired                              // nothing came for the idle time (K1)
	ReasonShutdown                                 // this server stops
	ReasonListenerRemoved                          // its listener was removed while the server runs (W8)
	ReasonClosedByAdministrator                    // an administrator asked for it

	ReasonTLSHandshakeDeadline   // the TLS handshake was not over in time
	ReasonProxyHeaderDeadline    // the PROXY header was not complete in time
	ReasonFirstRequestDeadline   // no complete request came in time after connecting
	ReasonWriteDeadline          // the peer took nothing of what was due to it for too long
	ReasonMemoryPressure         // partial frames had more than their half of the memory, and its bytes came longest ago
	ReasonExcessConnection       // closed for a connection of a privileged listener (D7)
	ReasonTooManyConnections     // refused: the server or the listener has as many as it may (D4, D5)
	ReasonTooManyConnectionsOfIP // refused: the address has as many as it may (D3)
	ReasonConnectionRateOfIP     // refused: the address connects too often (C8, D11)

	ReasonAuthenticationFailed  // the client could not prove who it is (N7)
	ReasonTLSCertificateRefused // the client's certificate is missing, not trusted, expired, or maps to no principal (P6, P7)
	ReasonUnsupportedMechanism  // a SASL mechanism that is not enabled (N6), or no Kafka at all (N3)
	ReasonIllegalSASLState      // what has no place at this point of an authentication (N4)
	ReasonSessionExpired        // a request after the session's end (N14)

	ReasonInvalidSize        // a frame's size below 0 or above the limit (I3)
	ReasonTLSOnPlaintext     // a TLS handshake on a plaintext port, which would read as a huge size
	ReasonPlaintextOnTLS     // bytes on a TLS port that are no TLS (P7)
	ReasonTLSHandshakeFailed // no version or cipher in common, an alert of the peer, and the like (P7)
	ReasonTLSFailed          // after the handshake: a broken record, a renegotiation, an alert (P13)
	ReasonProxyUntrusted     // a listener that requires a PROXY header was reached from an address that may not send one
	ReasonInvalidProxyHeader // the PROXY header is missing or malformed
	ReasonInvalidRequest     // a request header that cannot be parsed (L2)
	ReasonUnsupportedAPI     // an api key that this listener does not answer (L3)
	ReasonUnsupportedVersion // a version of an api that this listener does not answer (L3)

	ReasonReadFailed     // reading failed other than by reset
	ReasonWriteFailed    // writing failed other than by reset
	ReasonConnectFailed  // an outgoing connection was refused or not reached
	ReasonRegisterFailed // an accepted socket could not be set up (F12)
	ReasonIllegalState   // an event that the mute state machine does not allow (1.7.2)
	ReasonNoHandler      // nobody answered for the api until the deadline
	ReasonDeadline       // a handler had the request, and no answer came until the deadline
	ReasonFrameLetGo     // the request had to be sent to another handler, but its bytes were no longer kept
	ReasonInternal       // our own machinery broke while it held the request

	reasons // how many there are
)

var reasonNames = [reasons]string{
	"none", "peer_closed", "peer_reset", "handshake_aborted", "handler_closed", "idle_expired", "shutdown", "listener_removed",
	"closed_by_administrator",
	"tls_handshake_deadline", "proxy_header_deadline", "first_request_deadline", "write_deadline", "memory_pressure", "excess_connection",
	"too_many_connections",
	"too_many_connections_of_ip", "connection_rate_of_ip",
	"authentication_failed", "tls_certificate_refused", "unsupported_mechanism", "illegal_sasl_state", "session_expired",
	"invalid_size", "tls_on_plaintext", "plaintext_on_tls", "tls_handshake_failed", "tls_failed",
	"proxy_untrusted", "invalid_proxy_header", "invalid_request", "unsupported_api", "unsupported_version",
	"read_failed", "write_failed", "connect_failed", "register_failed", "illegal_state", "no_handler", "deadline",
	"frame_let_go", "internal",
}

// String is the reason's name in logs and metrics.
func (r CloseReason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

// Violation tells whether the peer broke the protocol.
func (r CloseReason) Violation() bool {
	return r >= ReasonInvalidSize && r <= ReasonUnsupportedVersion
}

// Normal tells whether such a close belongs to a healthy life.
func (r CloseReason) Normal() bool { return r >= ReasonPeerClosed && r <= ReasonClosedByAdministrator }

// Limit tells whether the connection met a limit that was set for it.
func (r CloseReason) Limit() bool {
	return r >= ReasonTLSHandshakeDeadline && r <= ReasonConnectionRateOfIP
}

// Authentication tells whether the peer did not prove who it is, or no longer.
func (r CloseReason) Authentication() bool {
	return r >= ReasonAuthenticationFailed && r <= ReasonSessionExpired
}

// fromPeer tells whether the connection is already gone, or as good as, so that nothing can be written to it any more.
func (r CloseReason) fromPeer() bool {
	switch r {
	case ReasonPeerReset, ReasonHandshakeAborted, ReasonReadFailed, ReasonWriteFailed, ReasonConnectFailed, ReasonWriteDeadline:
		return true
	}
	return false
}

// Reasons lists all reasons but none, for metrics that want every label from the start.
func Reasons() []CloseReason {
	all := make([]CloseReason, 0, reasons-1)
	for r := ReasonNone + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}
