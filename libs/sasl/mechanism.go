package sasl

import "time"

// Mechanism is one enabled mechanism (SaslServerFactory).
type Mechanism interface {
	// Name is the mechanism's registered name.
	Name() string
	// Heavy tells that Evaluate takes long enough to be run away from a connection's loop.
	Heavy() bool
	// Start begins an exchange.
	Start() Exchange
}

// Exchange is one client's authentication by one mechanism (SaslServer).
type Exchange interface {
	// Evaluate takes the client's next token. Exchanges are asked by one goroutine at a time, not always by the same.
	Evaluate(token []byte, now time.Time) Evaluation
}

// Evaluation is what a mechanism makes of a token.
type Evaluation struct {
	Challenge []byte
	Done      bool
	Principal string    // once done: the user's name
	Expires   time.Time // once done: the credential's end; zero: none
	// Err refuses the token; only a Refusal's text is shown to the client. It must not hold a secret: it is logged.
	Err error
}

// Refusal is an error whose message the client may see (SaslAuthenticationException).
type Refusal struct{ Message string }

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

func refused(message string) Evaluation { return Evaluation{Err: &Refusal{message}} }
