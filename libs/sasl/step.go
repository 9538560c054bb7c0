package sasl

import (
	"errors"
	"fmt"
	"time"
)

// Why an authentication ends; a step's error wraps one of them.
var (
	// ErrAuthenticationFailed means that the client could not prove who it is, or exceeded the exchange's limits.
	ErrAuthenticationFailed = errors.New("sasl: authentication failed")
	// ErrUnsupportedMechanism means that the client asked for a mechanism that is not enabled, or spoke no Kafka.
	ErrUnsupportedMechanism = errors.New("sasl: unsupported mechanism")
	// ErrIllegalState means that the client sent what has no place at this point.
	ErrIllegalState = errors.New("sasl: illegal state")
	// ErrInvalidRequest means that a request of the exchange could not be parsed.
	ErrInvalidRequest = errors.New("sasl: invalid request")
	// ErrSessionExpired means that a request came after the session's end (N14).
	ErrSessionExpired = errors.New("sasl: session expired")
)

// Verdict says what follows a frame.
type Verdict uint8

const (
	// Continue: the next frame is the authenticator's as well.
	Continue Verdict = iota
	// Working: run Step.Work, then call Finish. No frame may come in between.
	Working
	// Completed: Session holds.
	Completed
	// Passed: the frame is an ordinary request of a session that goes on.
	Passed
	// Refused: write the answer after the delay, and close (N16).
	Refused
	// Failed: close now; no failed authentication is counted (N20).
	Failed
	// Expired: close now, the session is over (N14).
	Expired
)

// Step is what follows a frame.
type Step struct {
	Verdict Verdict
	Answer  []byte // to be written, without size bytes and possibly empty; nil: nothing is
	Work    func() // of Working: heavy, for another goroutine
	Err     error  // of Refused, Failed and Expired; holds no secret
}

// Session is what an authentication gave.
type Session struct {
	Principal string // the name alone
	Mechanism string
	// Expires is the session's end; zero: it has none (N15).
	Expires time.Time
	// Reauthenticated tells that it is not the connection's first, and Latency how long the re-authentication took
	// (N18).
	Reauthenticated bool
	Latency         time.Duration
	// KnowsLifetime tells that the client was told the session's lifetime, and so can re-authenticate (N17).
	KnowsLifetime bool
}

func (a *Authenticator) refuse(answer []byte, cause error, detail string) Step {
	a.state = failed
	return Step{Verdict: Refused, Answer: answer, Err: fmt.Errorf("%w: %s", cause, detail)}
}

func (a *Authenticator) fail(cause error, detail string) Step {
	a.state = failed
	return Step{Verdict: Failed, Err: fmt.Errorf("%w: %s", cause, detail)}
}
