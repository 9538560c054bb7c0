package sasl

import (
	"fmt"
	"time"

	"kanal/libs/protocol"
)

// kafkaRequest takes what comes before the tokens: ApiVersions and SaslHandshake. Of any other request no more is read
// than its header (N4).
func (a *Authenticator) kafkaRequest(frame []byte, now time.Time) Step {
	h := &a.request
	if err := protocol.ParseHeader(frame, h); err != nil {
		if a.state == initialRequest { // a GSSAPI token of 0.9, or noise (N3)
			return a.refuse(nil, ErrUnsupportedMechanism, "the first packet is no Kafka request")
		}
		return a.fail(ErrInvalidRequest, err.Error())
	}
	if a.state == initialRequest {
		a.state = handshakeOrVersionsRequest
	}
	switch h.Key {
	case protocol.ApiVersions:
		return a.apiVersions(frame)
	case protocol.SaslHandshake:
		return a.handshake(frame)
	}
	return a.refuse(nil, ErrIllegalState, fmt.Sprintf("%s before authentication", h.Key))
}

// apiVersions may come once, before the handshake; an error answer does not count (N5).
func (a *Authenticator) apiVersions(frame []byte) Step {
	if a.state != handshakeOrVersionsRequest {
		return a.fail(ErrIllegalState, "a second ApiVersions")
	}
	answer, valid := a.versions(&a.request, frame)
	if valid {
		a.state = handshakeRequest
	}
	return Step{Answer: answer}
}

// newestHandshake must stay 1: older clients take a higher one for a server that wants something else (KAFKA-9577).
const newestHandshake = 1

// handshake chooses the mechanism (N6).
func (a *Authenticator) handshake(frame []byte) Step {
	h := &a.request
	if h.Version > newestHandshake {
		return a.fail(ErrInvalidRequest, fmt.Sprintf("SaslHandshake of version %d", h.Version))
	}
	name, ok := protocol.ParseSaslHandshakeRequest(frame[h.Body:])
	if !ok {
		return a.fail(ErrInvalidRequest, "SaslHandshake cut short")
	}
	a.raw = h.Version == 0
	chosen := a.cfg.mechanism(name)
	if chosen == nil {
		return a.refuse(a.handshakeAnswer(protocol.ErrorUnsupportedSaslMechanism), ErrUnsupportedMechanism, fmt.Sprintf("%.64q is not enabled", name))
	}
	if a.again && chosen.Name() != a.mechanism.Name() {
		a.state = reauthBadMechanism
		return Step{Answer: a.handshakeAnswer(protocol.ErrorNone)}
	}
	a.mechanism, a.exchange, a.state = chosen, chosen.Start(), authenticate
	return Step{Answer: a.handshakeAnswer(protocol.ErrorNone)}
}

func (a *Authenticator) handshakeAnswer(code int16) []byte {
	return protocol.SaslHandshakeResponse{Error: code, Mechanisms: a.cfg.names()}.Append(nil, a.request.CorrelationID)
}
