package sasl

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"kanal/libs/protocol"
)

// newestAuthenticate is the newest version of SaslAuthenticate.
const newestAuthenticate = 2

// token takes one token of the exchange, raw or in a SaslAuthenticate (N7, N8).
func (a *Authenticator) token(frame []byte, now time.Time) Step {
	token, end := frame, Step{}
	if !a.raw {
		if token, end = a.unwrap(frame); token == nil {
			return end
		}
	}
	if !a.mechanism.Heavy() {
		a.result = a.exchange.Evaluate(token, now)
		return a.evaluated(now)
	}
	token = bytes.Clone(token)
	exchange := a.exchange
	return Step{Verdict: Working, Work: func() { a.result = exchange.Evaluate(token, now) }}
}

// unwrap reads the token of a SaslAuthenticate; nil with how it ends where there is none.
func (a *Authenticator) unwrap(frame []byte) (token []byte, end Step) {
	h := &a.request
	if err := protocol.ParseHeader(frame, h); err != nil {
		return nil, a.fail(ErrInvalidRequest, err.Error())
	}
	if h.Key != protocol.SaslAuthenticate {
		return nil, a.refuse(illegalStateAnswer(h), ErrIllegalState, fmt.Sprintf("%s in place of SaslAuthenticate", h.Key))
	}
	if h.Version > newestAuthenticate {
		return nil, a.fail(ErrInvalidRequest, fmt.Sprintf("SaslAuthenticate of version %d", h.Version))
	}
	token, ok := protocol.ParseSaslAuthenticateRequest(frame[h.Body:], h.Version)
	if !ok {
		return nil, a.fail(ErrInvalidRequest, "SaslAuthenticate cut short")
	}
	if token == nil {
		token = []byte{}
	}
	return token, end
}

// illegalStateAnswer is error 34 in the format of the request's api, for those whose answers are written here; the
// others' clients see the connection close.
func illegalStateAnswer(h *protocol.Header) []byte {
	switch h.Key {
	case protocol.ApiVersions:
		version := h.Version
		if version > protocol.Release()[protocol.ApiVersions].Max {
			version = 0
		}
		return protocol.ApiVersionsResponse{Error: protocol.ErrorIllegalSaslState}.Append(nil, h.CorrelationID, version)
	case protocol.SaslHandshake:
		return protocol.SaslHandshakeResponse{Error: protocol.ErrorIllegalSaslState}.Append(nil, h.CorrelationID)
	}
	return nil
}

// IllegalStateAnswer answers SaslHandshake and SaslAuthenticate where no authentication is due (N19); nil for a version
// that is not known.
func IllegalStateAnswer(h *protocol.Header) []byte {
	const message = "there is no authentication to be made on this connection now"
	switch {
	case h.Key == protocol.SaslHandshake && h.Version <= newestHandshake:
		return illegalStateAnswer(h)
	case h.Key == protocol.SaslAuthenticate && h.Version <= newestAuthenticate:
		return protocol.SaslAuthenticateResponse{Error: protocol.ErrorIllegalSaslState, Message: message}.Append(nil, h.CorrelationID, h.Version)
	}
	return nil
}

// evaluated answers the token with what the mechanism made of it.
func (a *Authenticator) evaluated(now time.Time) Step {
	r := a.result
	a.result = Evaluation{}
	switch {
	case r.Err != nil:
		return a.refuseToken(r.Err)
	case !r.Done:
		return Step{Answer: a.challenge(r.Challenge, 0)}
	case a.again && r.Principal != a.session.Principal:
		return a.refuseToken(&Refusal{"Cannot change principals during re-authentication"})
	}
	lifetime := a.complete(&r, now)
	return Step{Verdict: Completed, Answer: a.challenge(r.Challenge, lifetime)}
}

func (a *Authenticator) challenge(token []byte, lifetime time.Duration) []byte {
	if a.raw {
		return append([]byte{}, token...) // an empty token is a frame too
	}
	answer := protocol.SaslAuthenticateResponse{Token: token, SessionLifetime: lifetime.Milliseconds()}
	return answer.Append(nil, a.request.CorrelationID, a.request.Version)
}

// refuseToken shows the client what a mechanism meant it to see, and nothing else that went wrong: no hint whether the
// user exists.
func (a *Authenticator) refuseToken(err error) Step {
	detail := fmt.Sprintf("%s: %v", a.mechanism.Name(), err)
	if a.raw {
		return a.refuse(nil, ErrAuthenticationFailed, detail)
	}
	message := fmt.Sprintf("Authentication failed during %s due to invalid credentials with SASL mechanism %s", a.kind(), a.mechanism.Name())
	var shown *Refusal
	if errors.As(err, &shown) {
		message = shown.Message
	}
	answer := protocol.SaslAuthenticateResponse{Error: protocol.ErrorSaslAuthenticationFailed, Message: message}
	return a.refuse(answer.Append(nil, a.request.CorrelationID, a.request.Version), ErrAuthenticationFailed, detail)
}

func (a *Authenticator) kind() string {
	if a.again {
		return "re-authentication"
	}
	return "authentication"
}
