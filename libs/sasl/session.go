package sasl

import (
	"time"

	"kanal/libs/protocol"
)

// complete begins the session and gives its lifetime: the smaller of the credential's remaining life and MaxReauth, 0
// without either (N15).
func (a *Authenticator) complete(r *Evaluation, now time.Time) time.Duration {
	a.state, a.exchange = complete, nil
	a.session = Session{
		Principal: r.Principal, Mechanism: a.mechanism.Name(), Reauthenticated: a.again,
		KnowsLifetime: !a.raw && a.request.Version >= 1,
	}
	if a.again {
		a.session.Latency = now.Sub(a.begun)
	}
	a.again = false
	lifetime, ends := a.cfg.MaxReauth, a.cfg.MaxReauth > 0
	if left := max(r.Expires.Sub(now), 0); !r.Expires.IsZero() && (!ends || left < lifetime) {
		lifetime, ends = left, true
	}
	if ends {
		a.session.Expires = now.Add(lifetime)
	}
	return lifetime
}

// reauthenticationPause is the least time between the starts of two re-authentications (N13).
const reauthenticationPause = time.Second

// ordinary looks at a request of a completed session: it may be the start of a re-authentication, which an expired
// client can still make (N13), or come too late (N14).
func (a *Authenticator) ordinary(frame []byte, now time.Time) Step {
	if a.session.Expires.IsZero() {
		return Step{Verdict: Passed}
	}
	if protocol.IsRequestOf(frame, protocol.SaslHandshake) {
		if !a.begun.IsZero() && now.Sub(a.begun) < reauthenticationPause {
			return Step{Verdict: Passed}
		}
		a.state, a.begun, a.again = reauthProcessHandshake, now, true
		return a.kafkaRequest(frame, now)
	}
	if now.After(a.session.Expires) {
		a.state = failed
		return Step{Verdict: Expired, Err: ErrSessionExpired}
	}
	return Step{Verdict: Passed}
}

// badMechanism ends a re-authentication by another mechanism than the session's. That the handshake went through is
// Kafka's way: the client learns it from its first token.
func (a *Authenticator) badMechanism(frame []byte) Step {
	const message = "Cannot change SASL mechanism during re-authentication"
	if !a.raw {
		if token, end := a.unwrap(frame); token == nil {
			return end
		}
	}
	return a.refuseToken(&Refusal{message})
}
