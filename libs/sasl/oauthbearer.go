package sasl

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// TokenVerifier tells whether a bearer token is good.
type TokenVerifier interface {
	// Verify takes the token in its compact form. Errors must not repeat it. Any goroutine may call it; it may take
	// long.
	Verify(token string, now time.Time) (Token, error)
}

// Token is what a good bearer token says.
type Token struct {
	Principal string
	Expires   time.Time
}

// ErrInsufficientScope means that a token is good, but not for this.
var ErrInsufficientScope = errors.New("sasl: insufficient scope")

// oauthBearer is OAUTHBEARER (OAuthBearerSaslServer, RFC 7628).
type oauthBearer struct {
	verifier TokenVerifier
	scope    string // told with insufficient_scope
}

// NewOAuthBearer makes OAUTHBEARER. scope is what clients are told to ask for where theirs does not do.
func NewOAuthBearer(v TokenVerifier, scope string) Mechanism { return oauthBearer{v, scope} }

func (oauthBearer) Name() string      { return OAuthBearer }
func (oauthBearer) Heavy() bool       { return true } // a signature
func (m oauthBearer) Start() Exchange { return &bearerExchange{mechanism: m} }

// bearerExchange is the client's one message, and if the token is refused another one: the refusal is told in a
// challenge, and the failure follows what the client says to that (RFC 7628 section 3.2.3).
type bearerExchange struct {
	mechanism oauthBearer
	status    string // JSON; empty until a token was refused
}

func (e *bearerExchange) Evaluate(message []byte, now time.Time) Evaluation {
	if e.status != "" {
		return refused(e.status)
	}
	authorization, token, err := parseBearer(string(message))
	if err != nil {
		return Evaluation{Err: err}
	}
	found, err := e.mechanism.verifier.Verify(token, now)
	switch {
	case errors.Is(err, ErrInsufficientScope):
		return e.refuse("insufficient_scope", e.mechanism.scope)
	case err != nil:
		return e.refuse("invalid_token", "")
	case authorization != "" && authorization != found.Principal:
		return refused("Authentication failed: Client requested an authorization id that is different from the token's principal name")
	}
	return Evaluation{Challenge: []byte{}, Done: true, Principal: found.Principal, Expires: found.Expires}
}

func (e *bearerExchange) refuse(status, scope string) Evaluation {
	text, err := json.Marshal(struct {
		Status string `json:"status"`
		Scope  string `json:"scope,omitempty"`
	}{status, scope})
	if err != nil {
		return Evaluation{Err: err}
	}
	e.status = string(text)
	return Evaluation{Challenge: text}
}

var errBearerMessage = errors.New("invalid OAUTHBEARER client message")

// parseBearer reads n,a=AUTHORIZATION,^Aauth=Bearer TOKEN^Akey=value^A^A. Extensions are not looked at.
func parseBearer(message string) (authorization, token string, err error) {
	header, rest, ok := strings.Cut(message, "\x01")
	pairs, ended := strings.CutSuffix(rest, "\x01\x01")
	if !ok || !ended {
		return "", "", errBearerMessage
	}
	if authorization, ok = bearerAuthorization(header); !ok {
		return "", "", errBearerMessage
	}
	for pair := range strings.SplitSeq(pairs, "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "auth" && token != "" {
			return "", "", errBearerMessage
		}
		if key != "auth" {
			continue
		}
		scheme, t, _ := strings.Cut(value, " ")
		if token = strings.TrimSpace(t); !strings.EqualFold(scheme, "bearer") || token == "" {
			return "", "", errBearerMessage
		}
	}
	if token == "" {
		return "", "", errBearerMessage
	}
	return authorization, token, nil
}

// bearerAuthorization reads the gs2 header n,a=NAME, in which commas and equals signs of a name are written as in SCRAM.
// There is no channel binding.
func bearerAuthorization(header string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(header, "n,")
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, ",")
	if !ok || rest == "" {
		return "", ok
	}
	name, ok = strings.CutPrefix(rest, "a=")
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name), ok && name != "" && !strings.Contains(name, ",")
}
