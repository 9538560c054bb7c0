package frontend

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kanal/libs/sasl"
	"kanal/libs/service"
)

// SASL is what a listener of protocol SASL_PLAINTEXT or SASL_SSL takes from KANAL_LISTENER_<NAME>_SASL_<VARIABLE>.
type SASL struct {
	// Mechanisms that clients may use (sasl.enabled.mechanisms). PLAIN and OAUTHBEARER have to be named.
	Mechanisms []string `env:"SASL_MECHANISMS" envDefault:"SCRAM-SHA-512,SCRAM-SHA-256"`
	// MaxReauth is how long a session lasts until the client has to authenticate again (connections.max.reauth.ms); 0:
	// as long as the credential is valid.
	MaxReauth time.Duration `env:"SASL_MAX_REAUTH" envDefault:"0s"`
	// MaxReceiveBytes bounds one frame of a client that has not authenticated (sasl.server.max.receive.size).
	MaxReceiveBytes int `env:"SASL_MAX_RECEIVE_BYTES" envDefault:"524288"`
	// FailureDelay passes before a failed authentication is answered and closed
	// (connection.failed.authentication.delay.ms).
	FailureDelay time.Duration `env:"SASL_FAILURE_DELAY" envDefault:"100ms"`
	// APIsBeforeLogin is what ApiVersions tells a client that has not authenticated: all, as Kafka, or authentication
	// (only what it needs to authenticate).
	APIsBeforeLogin string `env:"SASL_APIS_BEFORE_LOGIN" envDefault:"all"`

	OAuthBearer
}

// OAuthBearer says which tokens mechanism OAUTHBEARER takes, by
// KANAL_LISTENER_<NAME>_SASL_OAUTHBEARER_<VARIABLE>: JWTs signed by a key of the set.
type OAuthBearer struct {
	// JWKS is the JSON Web Key Set: a file, or an http(s) URL (sasl.oauthbearer.jwks.endpoint.url).
	JWKS string `env:"SASL_OAUTHBEARER_JWKS"`
	// JWKSRefresh is how often it is read again (sasl.oauthbearer.jwks.endpoint.refresh.ms).
	JWKSRefresh time.Duration `env:"SASL_OAUTHBEARER_JWKS_REFRESH" envDefault:"1h"`
	// ClockSkew is how far clocks may be apart (sasl.oauthbearer.clock.skew.seconds).
	ClockSkew time.Duration `env:"SASL_OAUTHBEARER_CLOCK_SKEW" envDefault:"30s"`
	// ExpectedAudience lists those of which a token must name one (sasl.oauthbearer.expected.audience); empty: any.
	ExpectedAudience []string `env:"SASL_OAUTHBEARER_EXPECTED_AUDIENCE"`
	// ExpectedIssuer of tokens (sasl.oauthbearer.expected.issuer); empty: any.
	ExpectedIssuer string `env:"SASL_OAUTHBEARER_EXPECTED_ISSUER"`
	// SubClaim is the claim that is the user's name (sasl.oauthbearer.sub.claim.name), ScopeClaim the one with the
	// scopes (sasl.oauthbearer.scope.claim.name).
	SubClaim   string `env:"SASL_OAUTHBEARER_SUB_CLAIM" envDefault:"sub"`
	ScopeClaim string `env:"SASL_OAUTHBEARER_SCOPE_CLAIM" envDefault:"scope"`
	// RequiredScope is one that a token must have; empty: none.
	RequiredScope string `env:"SASL_OAUTHBEARER_REQUIRED_SCOPE"`
}

const (
	allAPIs            = "all"
	authenticationAPIs = "authentication"
)

// mechanismNames are those there are.
var mechanismNames = []string{sasl.ScramSHA512, sasl.ScramSHA256, sasl.Plain, sasl.OAuthBearer}

func saslProtocol(protocol string) bool { return strings.HasPrefix(protocol, "SASL_") }

// validate checks what only listeners with SASL look at.
func (s *SASL) validate(prefix string, maxIdle time.Duration) error {
	var errs []error
	bad := func(wrong bool, variable string, value any, allowed string) {
		if wrong {
			errs = append(errs, service.Invalid(prefix+variable, value, allowed))
		}
	}
	bad(len(s.Mechanisms) == 0, "SASL_MECHANISMS", "", "at least one of "+strings.Join(mechanismNames, ", "))
	for i, m := range s.Mechanisms {
		bad(!slices.Contains(mechanismNames, m) || slices.Contains(s.Mechanisms[:i], m), "SASL_MECHANISMS", m, "each once of "+strings.Join(mechanismNames, ", "))
	}
	bad(s.MaxReauth < 0, "SASL_MAX_REAUTH", s.MaxReauth, "a duration, 0 for no limit")
	bad(s.MaxReceiveBytes < 1024 || s.MaxReceiveBytes > math.MaxInt32, "SASL_MAX_RECEIVE_BYTES", s.MaxReceiveBytes, "1024 to 2147483647")
	bad(s.FailureDelay < 0, "SASL_FAILURE_DELAY", s.FailureDelay, "a duration of 0 or more")
	bad(maxIdle > 0 && s.FailureDelay >= maxIdle, "SASL_FAILURE_DELAY", s.FailureDelay, fmt.Sprintf("less than KANAL_CONNECTIONS_MAX_IDLE, which is %s", maxIdle)) // K5
	bad(s.APIsBeforeLogin != allAPIs && s.APIsBeforeLogin != authenticationAPIs, "SASL_APIS_BEFORE_LOGIN", s.APIsBeforeLogin, "all or authentication")
	if slices.Contains(s.Mechanisms, sasl.OAuthBearer) {
		bad(s.JWKS == "", "SASL_OAUTHBEARER_JWKS", s.JWKS, "a file or an http(s) URL of a JSON Web Key Set, for mechanism OAUTHBEARER")
		bad(s.JWKSRefresh < time.Second, "SASL_OAUTHBEARER_JWKS_REFRESH", s.JWKSRefresh, "a duration of at least 1s")
		bad(s.ClockSkew < 0, "SASL_OAUTHBEARER_CLOCK_SKEW", s.ClockSkew, "a duration of 0 or more")
		bad(s.SubClaim == "", "SASL_OAUTHBEARER_SUB_CLAIM", s.SubClaim, "a claim's name")
		bad(s.ScopeClaim == "", "SASL_OAUTHBEARER_SCOPE_CLAIM", s.ScopeClaim, "a claim's name")
	}
	return errors.Join(errs...)
}
