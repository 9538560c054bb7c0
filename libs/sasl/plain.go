package sasl

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"
)

// plain is PLAIN (PlainSaslServer, RFC 4616). The password is compared with what is stored of it in any form.
type plain struct{ credentials Credentials }

// NewPlain makes PLAIN.
func NewPlain(c Credentials) Mechanism { return plain{c} }

func (plain) Name() string      { return Plain }
func (plain) Heavy() bool       { return true } // thousands of hashes
func (p plain) Start() Exchange { return p }

// Evaluate takes the one message: authorization id, user and password, separated by NUL (N11).
func (p plain) Evaluate(token []byte, _ time.Time) Evaluation {
	parts := strings.Split(string(token), "\x00")
	if len(parts) != 3 {
		return refused("Invalid SASL/PLAIN response: expected 3 tokens")
	}
	authorization, user, password := parts[0], parts[1], parts[2]
	switch {
	case user == "":
		return refused("Authentication failed: username not specified")
	case password == "":
		return refused("Authentication failed: password not specified")
	case !p.verify(user, password):
		return refused("Authentication failed: Invalid username or password")
	case authorization != "" && authorization != user:
		return refused("Authentication failed: Client requested an authorization id that is different from username")
	}
	return Evaluation{Challenge: []byte{}, Done: true, Principal: user}
}

// verify takes as long for a user that does not exist as for one that does.
func (p plain) verify(user, password string) bool {
	valid := false
	for _, h := range scramHashes {
		stored, ok := p.credentials.Scram(user, h.mechanism)
		if !ok || stored.Validate(h.mechanism) != nil {
			ok = false
			stored = unknownUser(h.mechanism, user)
		}
		got, err := derive(h.mechanism, password, stored.Salt, stored.Iterations)
		same := hmac.Equal(got.StoredKey, stored.StoredKey)
		valid = valid || ok && err == nil && same
	}
	kept, ok := p.credentials.Password(user)
	return valid || equal(kept, password) && ok
}

// equal takes as long whether the strings differ early or late, or in length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
