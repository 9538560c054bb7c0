package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

// scram is SCRAM-SHA-256 or SCRAM-SHA-512 (ScramSaslServer, RFC 5802), without channel binding. It is written out
// because libraries compare the nonce of the last message as the standard says, and librdkafka before 2.6.1 puts its
// own before it once more, which Kafka lets pass; the tests hold it against a library's client.
type scram struct {
	name        string
	hash        func() hash.Hash
	credentials Credentials
}

// NewScram makes one of the SCRAM mechanisms.
func NewScram(name string, c Credentials) (Mechanism, error) {
	h := hashOf(name)
	if h == nil {
		return nil, fmt.Errorf("mechanism %q is none of SCRAM's", name)
	}
	return scram{name, h.new, c}, nil
}

func (m scram) Name() string    { return m.name }
func (m scram) Heavy() bool     { return false } // a few hashes: the client does the work
func (m scram) Start() Exchange { return &scramExchange{scram: m} }

// scramExchange is client-first, server-first, client-final, server-final.
type scramExchange struct {
	scram
	first       clientFirst
	serverFirst string // empty until client-first was taken
	nonce       string // both sides'
	stored      ScramCredential
	over        bool
}

var (
	errScramMessage = errors.New("invalid SCRAM message")
	errScramProof   = errors.New("invalid credentials")
)

func (e *scramExchange) Evaluate(token []byte, _ time.Time) Evaluation {
	switch {
	case e.over:
		return Evaluation{Err: errScramMessage}
	case e.serverFirst == "":
		return e.begin(string(token))
	}
	return e.end(string(token))
}

func (e *scramExchange) begin(message string) Evaluation {
	first, ok := parseClientFirst(message)
	if !ok {
		return Evaluation{Err: errScramMessage}
	}
	if first.authorization != "" && first.authorization != first.user {
		return refused("Authentication failed: Client requested an authorization id that is different from username")
	}
	e.first, e.nonce = first, first.nonce+newNonce()
	if e.stored, ok = e.credentials.Scram(first.user, e.name); !ok || e.stored.Validate(e.name) != nil {
		e.stored = unknownUser(e.name, first.user)
	}
	e.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", e.nonce, base64.StdEncoding.EncodeToString(e.stored.Salt), e.stored.Iterations)
	return Evaluation{Challenge: []byte(e.serverFirst)}
}

// end checks the proof: it is the client's key, covered by a signature that who knows the stored key can take off.
func (e *scramExchange) end(message string) Evaluation {
	e.over = true
	final, ok := parseClientFinal(message)
	if !ok || final.binding != e.first.header || !strings.HasSuffix(final.nonce, e.nonce) {
		return Evaluation{Err: errScramMessage}
	}
	signed := e.first.bare + "," + e.serverFirst + "," + final.withoutProof
	signature := e.mac(e.stored.StoredKey, signed)
	if len(final.proof) != len(signature) {
		return Evaluation{Err: errScramMessage}
	}
	for i := range signature {
		signature[i] ^= final.proof[i]
	}
	h := e.hash()
	h.Write(signature)
	if !hmac.Equal(h.Sum(nil), e.stored.StoredKey) {
		return Evaluation{Err: errScramProof}
	}
	verifier := "v=" + base64.StdEncoding.EncodeToString(e.mac(e.stored.ServerKey, signed))
	return Evaluation{Challenge: []byte(verifier), Done: true, Principal: e.first.user}
}

func (e *scramExchange) mac(key []byte, message string) []byte {
	h := hmac.New(e.hash, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

func newNonce() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
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
	size := hashOf(mechanism).size
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
