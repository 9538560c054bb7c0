package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"
)

// N11, PlainSaslServerTest
func TestPlain(t *testing.T) {
	const (
		invalid  = "Authentication failed: Invalid username or password"
		three    = "Invalid SASL/PLAIN response: expected 3 tokens"
		nobody   = "Authentication failed: username not specified"
		nothing  = "Authentication failed: password not specified"
		somebody = "Authentication failed: Client requested an authorization id that is different from username"
	)
	m := NewPlain(newStore(t))
	for _, c := range []struct{ token, principal, says string }{
		{"\x00bob\x00builder", "bob", ""},
		{"bob\x00bob\x00builder", "bob", ""},     // authorizationIdEqualsAuthenticationId
		{"\x00alice\x00wonderland", "alice", ""}, // by her hashes
		{"eve\x00bob\x00builder", "", somebody},  // authorizationIdNotEqualsAuthenticationId
		{"\x00bob\x00guess", "", invalid},
		{"\x00alice\x00guess", "", invalid},
		{"\x00alice\x00", "", nothing},
		{"\x00\x00builder", "", nobody},
		{"\x00eve\x00builder", "", invalid},
		{"\x00bob\x00builder\x00", "", three}, // extraTokens
		{"bob\x00builder", "", three},
		{"", "", three}, // emptyTokens
		{"\x00\x00", "", nobody},
	} {
		e := m.Start().Evaluate([]byte(c.token), epoch)
		var shown *Refusal
		if c.says == "" {
			if e.Err != nil || !e.Done || e.Principal != c.principal || !e.Expires.IsZero() {
				t.Errorf("%q: %+v", c.token, e)
			}
		} else if !errors.As(e.Err, &shown) || shown.Message != c.says || e.Done {
			t.Errorf("%q: %+v", c.token, e)
		}
	}
}

// A hash of one mechanism is enough, and one with too few iterations is none.
func TestPlainByHashes(t *testing.T) {
	s := newStore(t)
	delete(s.scram, ScramSHA512+":alice")
	try := func() bool { return NewPlain(s).Start().Evaluate([]byte("\x00alice\x00wonderland"), epoch).Done }
	if !try() {
		t.Error("one hash is not enough")
	}
	c := s.scram[ScramSHA256+":alice"]
	weak, err := derive(ScramSHA256, "wonderland", c.Salt, 100)
	if err != nil {
		t.Fatal(err)
	}
	s.scram[ScramSHA256+":alice"] = weak
	if try() {
		t.Error("a weak hash was taken")
	}
}

// converse lets a library's client talk to a mechanism.
func converse(t *testing.T, m Mechanism, user, password, authorization string) (Evaluation, error) {
	t.Helper()
	hash := map[string]xdg.HashGeneratorFcn{ScramSHA256: xdg.SHA256, ScramSHA512: xdg.SHA512}[m.Name()]
	client, err := hash.NewClientUnprepped(user, password, authorization)
	if err != nil {
		t.Fatal(err)
	}
	talk, exchange := client.NewConversation(), m.Start()
	message := ""
	for range 3 {
		if message, err = talk.Step(message); err != nil {
			return Evaluation{}, err
		}
		e := exchange.Evaluate([]byte(message), epoch)
		if message = string(e.Challenge); e.Done || e.Err != nil {
			if e.Done {
				_, err = talk.Step(message) // the server proves itself as well
			}
			return e, err
		}
	}
	return Evaluation{}, errors.New("no end")
}

// N11, ScramSaslServerTest, testScramUsernameWithSpecialCharacters: against an independent client.
func TestScram(t *testing.T) {
	s := newStore(t)
	names := []string{"alice", "special user= test,scram", "a=2Cb", "ü,=", "=", ",", "%3D"}
	for _, name := range []string{ScramSHA256, ScramSHA512} {
		for _, user := range names {
			s.scram[name+":"+user] = s.scram[name+":alice"]
		}
		m := mustScram(t, name, s)
		for _, user := range names {
			for _, authorization := range []string{"", user} { // authorizationIdEqualsAuthenticationId
				if e, err := converse(t, m, user, "wonderland", authorization); err != nil || !e.Done || e.Principal != user {
					t.Errorf("%s, %q: %+v, %v", name, user, e, err)
				}
			}
		}
		var shown *Refusal
		if e, _ := converse(t, m, "alice", "wonderland", "bob"); !errors.As(e.Err, &shown) { // authorizationIdNotEqualsAuthenticationId
			t.Errorf("%s: %+v", name, e)
		}
		if e, err := converse(t, m, "alice", "guess", ""); err != nil || e.Err != errScramProof {
			t.Errorf("%s, wrong password: %+v, %v", name, e, err)
		}
	}
}

// A user that does not exist is asked for a proof like any other, by the same salt each time (N7).
func TestScramOfNobody(t *testing.T) {
	m := mustScram(t, ScramSHA256, newStore(t))
	salt := func(user string) string {
		e := m.Start().Evaluate([]byte("n,,n="+user+",r=abc"), epoch)
		_, rest, _ := strings.Cut(string(e.Challenge), ",")
		return rest
	}
	first, again, other := salt("eve"), salt("eve"), salt("mallory")
	if first == "" || first != again || first == other {
		t.Errorf("%q, %q, %q", first, again, other)
	}
	if len(salt("eve")) != len(salt("alice")) {
		t.Errorf("%q beside %q", salt("eve"), salt("alice"))
	}
	if e, err := converse(t, m, "eve", "wonderland", ""); err != nil || e.Err != errScramProof {
		t.Errorf("%+v, %v", e, err)
	}
}

// Credentials with too few iterations are not used (ScramSaslServer checks the mechanism's minimum).
func TestScramWeakCredential(t *testing.T) {
	s := newStore(t)
	weak, err := derive(ScramSHA256, "wonderland", []byte("salt"), 4095)
	if err != nil {
		t.Fatal(err)
	}
	s.scram[ScramSHA256+":alice"] = weak
	if e, _ := converse(t, mustScram(t, ScramSHA256, s), "alice", "wonderland", ""); e.Done {
		t.Error("taken")
	}
}

// librdkafka before 2.6.1 sends its nonce twice, and signs what it sends; Kafka compares the nonce's end.
func TestScramNonceTwice(t *testing.T) {
	s := newStore(t)
	e := mustScram(t, ScramSHA256, s).Start().(*scramExchange)
	e.Evaluate([]byte("n,,n=alice,r=abc"), epoch)
	final := "c=biws,r=abc" + e.nonce
	if got := e.end(proven(t, e, "wonderland", final)); !got.Done || got.Principal != "alice" {
		t.Errorf("%+v", got)
	}
}

// testTokenAuthenticationOverSaslScram: there are no delegation tokens. A client that has one (KIP-48, an extension of
// its first message) says a name that nobody has; the extension gives nobody the name of another, nor an easier proof.
func TestScramWithoutDelegationTokens(t *testing.T) {
	s := newStore(t)
	for user, password := range map[string]string{"a-token": "wonderland", "alice": "a-token"} {
		e := mustScram(t, ScramSHA256, s).Start().(*scramExchange)
		if got := e.begin("n,,n=" + user + ",r=abc,tokenauth=true"); len(got.Challenge) == 0 {
			t.Fatalf("%s: %+v", user, got)
		}
		if got := e.end(proven(t, e, password, "c=biws,r="+e.nonce)); got.Done || got.Err != errScramProof {
			t.Errorf("%s: %+v", user, got)
		}
	}
}

// proven is a final message with the proof that a client of this password makes.
func proven(t *testing.T, e *scramExchange, password, final string) string {
	t.Helper()
	salted, err := pbkdf2.Key(sha256.New, password, e.stored.Salt, e.stored.Iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := mac(stored[:], e.first.bare+","+e.serverFirst+","+final)
	for i := range proof {
		proof[i] ^= key[i]
	}
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof)
}

func TestScramMessages(t *testing.T) {
	for message, ok := range map[string]bool{
		"n,,n=u,r=x": true, "y,,n=u,r=x": true, "n,a=u,n=u,r=x": true, "n,,n=u,r=x,tokenauth=true": true,
		"": false, "n": false, "n,,n=u": false, "p=tls-unique,,n=u,r=x": false, "n,,m=ext,n=u,r=x": false, "n,,n=,r=x": false,
		"n,,n=u,r=": false, "n,,n=u=,r=x": false, "n,,n=u=2c,r=x": false, "n,a=,n=u,r=x": false, "n,b=u,n=u,r=x": false, "x,,n=u,r=x": false,
	} {
		if f, got := parseClientFirst(message); got != ok || ok && f.header+f.bare != message {
			t.Errorf("client-first %q: %t, %+v", message, got, f)
		}
	}
	for message, ok := range map[string]bool{
		"c=biws,r=x,p=AAAA": true, "c=biws,r=x,ext=1,p=AAAA": true,
		"": false, "c=biws,r=x": false, "c=biws,p=AAAA": false, "c=?,r=x,p=AAAA": false, "c=biws,r=x,p=?": false, "c=biws,x=x,p=AAAA": false,
	} {
		if f, got := parseClientFinal(message); got != ok || ok && !strings.HasPrefix(message, f.withoutProof) {
			t.Errorf("client-final %q: %t, %+v", message, got, f)
		}
	}
}

// A changed binding, a foreign nonce, a short proof, a third message.
func TestScramTampered(t *testing.T) {
	for name, change := range map[string]func(nonce string) string{
		"binding":     func(n string) string { return "c=eSws,r=" + n + ",p=" + strings.Repeat("A", 43) + "=" },
		"nonce":       func(n string) string { return "c=biws,r=" + n + "x,p=" + strings.Repeat("A", 43) + "=" },
		"short proof": func(n string) string { return "c=biws,r=" + n + ",p=AAAA" },
	} {
		e := mustScram(t, ScramSHA256, newStore(t)).Start().(*scramExchange)
		e.Evaluate([]byte("n,,n=alice,r=abc"), epoch)
		if got := e.Evaluate([]byte(change(e.nonce)), epoch); got.Err != errScramMessage {
			t.Errorf("%s: %+v", name, got)
		}
		if got := e.Evaluate([]byte(change(e.nonce)), epoch); got.Err != errScramMessage {
			t.Errorf("%s, again: %+v", name, got)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add("n,a=b,n=u=2C,r=x,e=1")
	f.Add("c=biws,r=x,p=AAAA")
	f.Add("n,a=b,\x01auth=Bearer x\x01k=v\x01\x01")
	f.Add("u:PLAIN=p\n#\nv:SCRAM-SHA-256=salt=")
	f.Add(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQ"}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		if first, ok := parseClientFirst(s); ok && first.header+first.bare != s {
			t.Fatalf("%q: %+v", s, first)
		}
		parseClientFinal(s)
		if _, token, err := parseBearer(s); err == nil && (token == "" || !strings.Contains(s, token)) {
			t.Fatalf("%q: %q", s, token)
		}
		_, _ = parseCredentials(s)
		if keys, err := parseKeys([]byte(s)); err == nil && len(keys) == 0 {
			t.Fatalf("%q: no keys and no error", s)
		}
	})
}
