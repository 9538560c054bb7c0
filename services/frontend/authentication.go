package frontend

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/sasl"
	"kanal/libs/socketserver"
)

// authentication puts libs/sasl behind the connections of one listener.
type authentication struct {
	sasl     *sasl.Config
	requests *requests
	limited  bool // ApiVersions tells of authentication alone
}

// Authenticator implements socketserver.Authentication.
func (a *authentication) Authenticator(c *socketserver.Connection) socketserver.Authenticator {
	versions := func(h *protocol.Header, frame []byte) ([]byte, bool) { return a.apiVersions(c, h, frame) }
	return authenticator{sasl.New(a.sasl, versions)}
}

// apiVersions answers ApiVersions before authentication (N5, L8).
func (a *authentication) apiVersions(c *socketserver.Connection, h *protocol.Header, frame []byte) (answer []byte, valid bool) {
	r := a.requests.apiVersions(&socketserver.Request{Conn: c, Header: *h, Frame: frame})
	if a.limited && r.Error == protocol.ErrorNone {
		maps.DeleteFunc(r.Ranges, func(key protocol.APIKey, _ protocol.VersionRange) bool { return !beforeLogin(key) })
	}
	return r.Append(nil, h.CorrelationID, answerVersion(h.Version)), r.Error == protocol.ErrorNone
}

func beforeLogin(key protocol.APIKey) bool {
	return key == protocol.ApiVersions || key == protocol.SaslHandshake || key == protocol.SaslAuthenticate
}

// authenticator is a connection's state machine with the wall clock, which tokens go by.
type authenticator struct{ *sasl.Authenticator }

// Receive implements socketserver.Authenticator.
func (a authenticator) Receive(frame []byte) socketserver.AuthenticationStep {
	return a.step(a.Authenticator.Receive(frame, time.Now()))
}

// Finish implements socketserver.Authenticator.
func (a authenticator) Finish() socketserver.AuthenticationStep {
	return a.step(a.Authenticator.Finish(time.Now()))
}

// Oversized implements socketserver.Authenticator.
func (a authenticator) Oversized(err error) socketserver.AuthenticationStep {
	return a.step(a.Authenticator.Oversized(err))
}

var verdicts = map[sasl.Verdict]socketserver.AuthenticationVerdict{
	sasl.Continue:  socketserver.AuthenticationContinues,
	sasl.Working:   socketserver.AuthenticationWorks,
	sasl.Completed: socketserver.Authenticated,
	sasl.Refused:   socketserver.AuthenticationRefused,
	sasl.Failed:    socketserver.AuthenticationEnded,
	sasl.Expired:   socketserver.AuthenticationEnded,
}

func (a authenticator) step(s sasl.Step) socketserver.AuthenticationStep {
	if s.Verdict == sasl.Passed {
		return socketserver.AuthenticationStep{Verdict: socketserver.NotAuthentication}
	}
	step := socketserver.AuthenticationStep{
		Verdict: verdicts[s.Verdict], Answer: s.Answer, Work: s.Work, Again: a.Reauthenticates(),
		Reason: closeReason(s.Err), Err: s.Err,
	}
	if s.Verdict == sasl.Completed {
		session := a.Session()
		step.Again, step.Latency, step.KnowsLifetime = session.Reauthenticated, session.Latency, session.KnowsLifetime
		step.Principal, step.Endless = session.Principal, session.Expires.IsZero()
	}
	return step
}

func closeReason(err error) network.CloseReason {
	switch {
	case err == nil:
		return network.ReasonNone
	case errors.Is(err, sasl.ErrUnsupportedMechanism):
		return network.ReasonUnsupportedMechanism
	case errors.Is(err, sasl.ErrIllegalState):
		return network.ReasonIllegalSASLState
	case errors.Is(err, sasl.ErrInvalidRequest):
		return network.ReasonInvalidRequest
	case errors.Is(err, sasl.ErrSessionExpired):
		return network.ReasonSessionExpired
	}
	return network.ReasonAuthenticationFailed
}

// authenticate gives a listener with SASL what it needs.
func (s *Service) authenticate(l *listener) (err error) {
	l.Authentication, err = s.authentication(l)
	return err
}

// authentication makes what a listener with SASL needs; nil for one without.
func (s *Service) authentication(l *listener) (socketserver.Authentication, error) {
	if !saslProtocol(l.SecurityProtocol) {
		return nil, nil
	}
	credentials, err := s.credentials()
	if err != nil {
		return nil, err
	}
	cfg := &sasl.Config{MaxReauth: l.own.MaxReauth}
	for _, name := range l.own.Mechanisms {
		m, err := s.mechanism(name, l, credentials)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		cfg.Mechanisms = append(cfg.Mechanisms, m)
	}
	return &authentication{cfg, s.requests, l.own.APIsBeforeLogin == authenticationAPIs}, nil
}

func (s *Service) mechanism(name string, l *listener, c sasl.Credentials) (sasl.Mechanism, error) {
	switch name {
	case sasl.Plain:
		return sasl.NewPlain(c), nil
	case sasl.OAuthBearer:
		return s.oauthBearer(&l.own.OAuthBearer)
	}
	return sasl.NewScram(name, c)
}

func (s *Service) oauthBearer(o *OAuthBearer) (sasl.Mechanism, error) {
	keys, err := s.keySet(o.JWKS, o.JWKSRefresh)
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	return sasl.NewOAuthBearer(sasl.NewJWTVerifier(sasl.JWTConfig{
		Keys: keys, ClockSkew: o.ClockSkew, Audience: o.ExpectedAudience, Issuer: o.ExpectedIssuer,
		SubClaim: o.SubClaim, ScopeClaim: o.ScopeClaim, RequiredScope: o.RequiredScope,
	}), o.RequiredScope), nil
}
