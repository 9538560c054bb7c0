package sasl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// JWTConfig says which tokens are good (sasl.oauthbearer.*). Its times count in seconds, as tokens' do.
type JWTConfig struct {
	Keys      *KeySet
	ClockSkew time.Duration // allowed in exp, nbf and iat
	Audience  []string      // the token must name one of them; empty: any
	Issuer    string        // empty: any
	// SubClaim names the claim that is the principal, ScopeClaim the one that lists what the token is good for; sub and
	// scope if empty.
	SubClaim, ScopeClaim string
	RequiredScope        string // one that the token must have; empty: none
}

// jwtVerifier checks signed tokens (BrokerJwtValidator).
type jwtVerifier struct{ JWTConfig }

// NewJWTVerifier makes a verifier of signed JWTs.
func NewJWTVerifier(c JWTConfig) TokenVerifier {
	if c.SubClaim == "" {
		c.SubClaim = "sub"
	}
	if c.ScopeClaim == "" {
		c.ScopeClaim = "scope"
	}
	return jwtVerifier{c}
}

// algorithms are those of public keys: unsigned tokens, and ones signed by what the client knows as well, are none.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

var (
	errToken = errors.New("not a JWT signed by one of the known algorithms")
	errKey   = errors.New("no key of the set fits the token's signature")
)

// Verify implements TokenVerifier.
func (v jwtVerifier) Verify(token string, now time.Time) (Token, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return Token{}, errToken
	}
	var claims jwt.Claims
	var named map[string]any
	if err := v.signature(parsed, &claims, &named); err != nil {
		return Token{}, err
	}
	expected := jwt.Expected{Issuer: v.Issuer, AnyAudience: v.Audience, Time: now}
	if err := claims.ValidateWithLeeway(expected, v.ClockSkew); err != nil {
		return Token{}, err
	}
	if claims.Expiry == nil {
		return Token{}, errors.New("the token does not expire")
	}
	name, ok := named[v.SubClaim].(string)
	if !ok || strings.TrimSpace(name) == "" {
		return Token{}, fmt.Errorf("claim %s is no name", v.SubClaim)
	}
	if v.RequiredScope != "" && !slices.Contains(scopes(named[v.ScopeClaim]), v.RequiredScope) {
		return Token{}, ErrInsufficientScope
	}
	return Token{Principal: name, Expires: claims.Expiry.Time()}, nil
}

// signature checks the token against the keys that may have signed it.
func (v jwtVerifier) signature(t *jwt.JSONWebToken, into ...any) error {
	for _, key := range v.Keys.find(t.Headers[0].KeyID) {
		if (key.Algorithm == "" || key.Algorithm == t.Headers[0].Algorithm) && t.Claims(key.Key, into...) == nil {
			return nil
		}
	}
	return errKey
}

// scopes reads a claim that is one text, with spaces between, or a list.
func scopes(claim any) (out []string) {
	switch c := claim.(type) {
	case string:
		return strings.Fields(c)
	case []any:
		for _, s := range c {
			if text, ok := s.(string); ok {
				out = append(out, text)
			}
		}
	}
	return out
}
