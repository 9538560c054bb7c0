package socketserver

import (
	"time"

	"kanal/libs/network"
)

// Authentication is how the clients of a listener prove who they are.
type Authentication interface {
	// Authenticator begins with a new connection. It may set the connection's Software*, Broker and Tag whenever it is
	// called.
	Authenticator(c *Connection) Authenticator
}

// Authenticator is one connection's state machine (Authenticator). All calls come from the connection's loop and must
// not block; the next comes only after the answer to the one before is fully written (N2).
type Authenticator interface {
	// Receive takes a frame, which is valid during the call only.
	Receive(frame []byte) AuthenticationStep
	// Finish tells what follows from a step's work, which has been done.
	Finish() AuthenticationStep
	// Oversized tells what follows from a frame that is too large, or of a negative size.
	Oversized(err error) AuthenticationStep
}

// AuthenticationVerdict says what follows.
type AuthenticationVerdict uint8

const (
	// AuthenticationContinues: the next frame is for the authenticator as well.
	AuthenticationContinues AuthenticationVerdict = iota
	// AuthenticationWorks: run the step's work away from the loop, then Finish.
	AuthenticationWorks
	// Authenticated: requests may come.
	Authenticated
	// NotAuthentication: the frame is an ordinary request of a connection whose session goes on.
	NotAuthentication
	// AuthenticationRefused: after the delay write the answer and close (N16).
	AuthenticationRefused
	// AuthenticationEnded: close now, without counting a failed authentication.
	AuthenticationEnded
)

// AuthenticationStep is what follows a frame or work.
type AuthenticationStep struct {
	Verdict AuthenticationVerdict
	Answer  []byte // possibly empty; nil: none
	Work    func()
	// Again tells that this is part of a re-authentication.
	Again bool

	// of Authenticated
	Principal     string
	Latency       time.Duration // of a re-authentication
	KnowsLifetime bool          // the client can re-authenticate
	Endless       bool          // no session that ends: the authenticator is not needed any more

	// of AuthenticationRefused and AuthenticationEnded
	Reason network.CloseReason
	Err    error
}
