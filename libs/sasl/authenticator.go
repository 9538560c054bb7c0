package sasl

import (
	"time"

	"kanal/libs/protocol"
)

// Config is what the connections of a listener have in common.
type Config struct {
	// Mechanisms that are enabled, in the order in which clients are told (sasl.enabled.mechanisms).
	Mechanisms []Mechanism
	// MaxReauth bounds a session's life; 0: only the credential's own does (connections.max.reauth.ms, N15).
	MaxReauth time.Duration
}

func (c *Config) mechanism(name string) Mechanism {
	for _, m := range c.Mechanisms {
		if m.Name() == name {
			return m
		}
	}
	return nil
}

func (c *Config) names() []string {
	names := make([]string, len(c.Mechanisms))
	for i, m := range c.Mechanisms {
		names[i] = m.Name()
	}
	return names
}

// Versions answers an ApiVersions request; valid is false for an error answer, after which the client may ask again.
type Versions func(h *protocol.Header, frame []byte) (answer []byte, valid bool)

// state is where an authenticator stands (SaslState, N1). The transitions are Kafka's table:
//
//	initialRequest            header parses                       → handshakeOrVersionsRequest, handled as there
//	initialRequest            header does not parse               → failed: unsupported mechanism, later
//	handshakeOrVersions       ApiVersions, valid                  → handshakeRequest
//	handshakeOrVersions       ApiVersions, error answer           → stays
//	handshake(OrVersions)     SaslHandshake, enabled              → authenticate
//	handshake(OrVersions)     SaslHandshake, not enabled          → failed: 33, later
//	handshake(OrVersions)     another api                         → failed: illegal state, later, without an answer
//	handshakeRequest          ApiVersions                         → failed: illegal state, now
//	authenticate              token, more needed                  → stays
//	authenticate              token, exchange complete            → complete
//	authenticate              token refused                       → failed: 58, later
//	authenticate              another api                         → failed: 34, later
//	complete                  SaslHandshake, session ends, 1 s    → reauthProcessHandshake, handled at once
//	reauthProcessHandshake    SaslHandshake, same mechanism       → authenticate
//	reauthProcessHandshake    SaslHandshake, another enabled one  → reauthBadMechanism
//	reauthProcessHandshake    SaslHandshake, not enabled          → failed: 33, later
//	reauthBadMechanism        anything                            → failed: 58, later
type state uint8

const (
	initialRequest state = iota
	handshakeOrVersionsRequest
	handshakeRequest
	authenticate
	complete
	failed
	reauthProcessHandshake
	reauthBadMechanism
)

// Authenticator is one connection's state machine (SaslServerAuthenticator). It is used by one goroutine at a time. The
// user gives it a frame only after the answer to the one before is fully written (N2).
type Authenticator struct {
	cfg      *Config
	versions Versions

	state     state
	mechanism Mechanism
	exchange  Exchange
	raw       bool // handshake version 0: tokens are frames of their own (N8)
	request   protocol.Header
	result    Evaluation

	session Session
	begun   time.Time // the last re-authentication (N13)
	again   bool      // this is one
}

// New makes the state machine of a new connection.
func New(cfg *Config, versions Versions) *Authenticator {
	return &Authenticator{cfg: cfg, versions: versions}
}

// Receive takes the next frame, which is needed during the call only, and tells what follows.
func (a *Authenticator) Receive(frame []byte, now time.Time) Step {
	switch a.state {
	case complete:
		return a.ordinary(frame, now)
	case authenticate:
		return a.token(frame, now)
	case reauthBadMechanism:
		return a.badMechanism(frame)
	case failed:
		return a.fail(ErrIllegalState, "a frame after the failure")
	}
	return a.kafkaRequest(frame, now)
}

// Finish tells what follows from work that has been done.
func (a *Authenticator) Finish(now time.Time) Step {
	if a.state != authenticate {
		return a.fail(ErrIllegalState, "work without a token")
	}
	return a.evaluated(now)
}

// Session is what the last successful authentication gave.
func (a *Authenticator) Session() Session { return a.session }

// Mechanism is the mechanism that the client has chosen, empty before it has.
func (a *Authenticator) Mechanism() string {
	if a.mechanism == nil {
		return ""
	}
	return a.mechanism.Name()
}

// Reauthenticates tells that a re-authentication is under way, or was when it failed.
func (a *Authenticator) Reauthenticates() bool { return a.again }

// Oversized ends an authentication whose client announces a frame that is larger than allowed, or of a negative size
// (N10).
func (a *Authenticator) Oversized(err error) Step {
	return a.refuse(nil, ErrAuthenticationFailed, err.Error())
}
