package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// The mechanisms' registered names.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

// Iterations of SCRAM (ScramMechanism). What is stored with fewer than MinIterations is not used.
const (
	MinIterations = 4096
	MaxIterations = 16384
)

// Credentials finds what is stored about users. Any goroutine may ask, and must not be kept waiting.
type Credentials interface {
	// Scram gives a user's credential for one of the SCRAM mechanisms.
	Scram(user, mechanism string) (ScramCredential, bool)
	// Password gives a password that is kept in clear, for PLAIN alone.
	Password(user string) (string, bool)
}

// ScramCredential is what a server stores of a password for one mechanism (ScramCredential). The password cannot be
// read from it.
type ScramCredential struct {
	Salt, StoredKey, ServerKey []byte
	Iterations                 int
}

// scramHash is a SCRAM mechanism's hash.
type scramHash struct {
	mechanism string
	new       func() hash.Hash
	size      int
}

// scramHashes are those of the SCRAM mechanisms, the stronger first.
var scramHashes = []scramHash{{ScramSHA512, sha512.New, sha512.Size}, {ScramSHA256, sha256.New, sha256.Size}}

// hashOf is nil for what is no SCRAM mechanism.
func hashOf(mechanism string) *scramHash {
	for i := range scramHashes {
		if scramHashes[i].mechanism == mechanism {
			return &scramHashes[i]
		}
	}
	return nil
}

// NewScramCredential derives what is stored of a password, with a salt of its own.
func NewScramCredential(mechanism, password string, iterations int) (ScramCredential, error) {
	if iterations < MinIterations || iterations > MaxIterations {
		return ScramCredential{}, fmt.Errorf("%d iterations: want %d to %d", iterations, MinIterations, MaxIterations)
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	return derive(mechanism, password, salt, iterations)
}

const saltBytes = 24

// derive takes the password as it is: Kafka's clients do not prepare it either (ScramFormatter.normalize).
func derive(mechanism, password string, salt []byte, iterations int) (ScramCredential, error) {
	h := hashOf(mechanism)
	if h == nil {
		return ScramCredential{}, fmt.Errorf("mechanism %q is none of SCRAM's", mechanism)
	}
	salted, err := pbkdf2.Key(h.new, password, salt, iterations, h.size)
	if err != nil {
		return ScramCredential{}, err
	}
	mac := func(text string) []byte {
		m := hmac.New(h.new, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := h.new()
	stored.Write(mac("Client Key"))
	return ScramCredential{Salt: salt, StoredKey: stored.Sum(nil), ServerKey: mac("Server Key"), Iterations: iterations}, nil
}

// Validate tells what is wrong with a credential for a mechanism.
func (c *ScramCredential) Validate(mechanism string) error {
	h := hashOf(mechanism)
	switch {
	case h == nil:
		return fmt.Errorf("mechanism %q is none of SCRAM's", mechanism)
	case len(c.Salt) == 0:
		return errors.New("no salt")
	case len(c.StoredKey) != h.size || len(c.ServerKey) != h.size:
		return fmt.Errorf("keys of %d and %d bytes: want %d", len(c.StoredKey), len(c.ServerKey), h.size)
	case c.Iterations < MinIterations:
		return fmt.Errorf("%d iterations: want at least %d", c.Iterations, MinIterations)
	}
	return nil
}

// String is the credential as a file holds it (ScramCredentialUtils).
func (c *ScramCredential) String() string {
	e := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("salt=%s,stored_key=%s,server_key=%s,iterations=%d", e(c.Salt), e(c.StoredKey), e(c.ServerKey), c.Iterations)
}

// ParseScramCredential reads what String writes, and checks it. Its errors do not repeat what they read.
func ParseScramCredential(mechanism, s string) (c ScramCredential, err error) {
	seen := 0
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "salt":
			c.Salt, err = base64.StdEncoding.DecodeString(value)
		case "stored_key":
			c.StoredKey, err = base64.StdEncoding.DecodeString(value)
		case "server_key":
			c.ServerKey, err = base64.StdEncoding.DecodeString(value)
		case "iterations":
			c.Iterations, err = strconv.Atoi(value)
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return ScramCredential{}, errors.New("want salt=...,stored_key=...,server_key=...,iterations=n, the first three in base64")
		}
		seen++
	}
	if seen != 4 {
		return ScramCredential{}, errors.New("want salt, stored_key, server_key and iterations, once each")
	}
	return c, c.Validate(mechanism)
}

// Stores asks several stores, the first that knows a user's credential counts.
type Stores []Credentials

// Scram implements Credentials.
func (s Stores) Scram(user, mechanism string) (ScramCredential, bool) {
	for _, store := range s {
		if c, ok := store.Scram(user, mechanism); ok {
			return c, true
		}
	}
	return ScramCredential{}, false
}

// Password implements Credentials.
func (s Stores) Password(user string) (string, bool) {
	for _, store := range s {
		if p, ok := store.Password(user); ok {
			return p, true
		}
	}
	return "", false
}
