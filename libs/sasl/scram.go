package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"time"

	"github.com/xdg-go/scram"
)

// scramMechanism is SCRAM-SHA-256 or SCRAM-SHA-512 (ScramSaslServer, RFC 5802).
type scramMechanism struct {
	name   string
	server *scram.Server
}

// NewScram makes one of the SCRAM mechanisms.
func NewScram(name string, c Credentials) (Mechanism, error) {
	hash, _ := hashOf(name)
	if hash == nil {
		return nil, fmt.Errorf("mechanism %q is none of SCRAM's", name)
	}
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) {
		stored, ok := c.Scram(user, name)
		if !ok || stored.Validate(name) != nil {
			stored = unknownUser(name, user)
		}
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(stored.Salt), Iters: stored.Iterations},
			StoredKey:  stored.StoredKey, ServerKey: stored.ServerKey,
		}, nil
	})
	return scramMechanism{name, server}, err
}

func (m scramMechanism) Name() string    { return m.name }
func (m scramMechanism) Heavy() bool     { return false } // a few hashes: the client does the work
func (m scramMechanism) Start() Exchange { return scramExchange{m.server.NewConversation()} }

type scramExchange struct{ *scram.ServerConversation }

// Evaluate takes client-first and client-final.
func (e scramExchange) Evaluate(token []byte, _ time.Time) Evaluation {
	answer, err := e.Step(string(token))
	switch {
	case err != nil:
		return Evaluation{Err: errors.New("invalid credentials or message")} // the library's text repeats the client's
	case e.AuthzID() != "" && e.AuthzID() != e.Username():
		return refused("Authentication failed: Client requested an authorization id that is different from username")
	}
	return Evaluation{Challenge: []byte(answer), Done: e.Valid(), Principal: e.Username()}
}

// secret makes the credentials of users that do not exist.
var secret = func() []byte {
	b := make([]byte, sha512.Size)
	_, _ = rand.Read(b) // never fails
	return b
}()

// unknownUser is a credential that no password fits, the same whenever this user is asked for: the exchange of a user
// that does not exist goes as far as that of one with a wrong password. (Kafka's ends one message earlier.)
func unknownUser(mechanism, user string) ScramCredential {
	_, size := hashOf(mechanism)
	bytesOf := func(what string) []byte {
		h := hmac.New(sha512.New, secret)
		fmt.Fprintf(h, "%s\x00%s\x00%s", what, mechanism, user)
		return h.Sum(nil)
	}
	return ScramCredential{
		Salt: bytesOf("salt")[:saltBytes], StoredKey: bytesOf("stored")[:size], ServerKey: bytesOf("server")[:size],
		Iterations: MinIterations,
	}
}
