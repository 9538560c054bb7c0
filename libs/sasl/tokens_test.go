package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signer signs tokens with one key.
type signer struct {
	key    any
	public any
	id     string
	alg    jose.SignatureAlgorithm
}

func newSigner(t testing.TB, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, key.Public(), id, jose.ES256}
}

func (s *signer) jwk() jose.JSONWebKey { return jose.JSONWebKey{Key: s.public, KeyID: s.id} }

func (s *signer) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func keys(all ...*signer) *KeySet {
	k := &KeySet{early: make(chan struct{}, 1), change: make(chan struct{}), tried: time.Now()}
	for _, s := range all {
		k.keys = append(k.keys, s.jwk())
	}
	return k
}

func jwks(t testing.TB, all ...*signer) []byte {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, s := range all {
		set.Keys = append(set.Keys, s.jwk())
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// good are the claims of a good token, with changes.
func good(changes map[string]any) map[string]any {
	claims := map[string]any{"sub": "carol", "iss": "issuer", "aud": []string{"kanal", "other"}, "exp": epoch.Unix() + 60, "iat": epoch.Unix(), "scope": "read write"}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func unsigned(claims map[string]any) string {
	b, _ := json.Marshal(claims) // strings and numbers
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(`{"alg":"none"}`)) + "." + e(b) + "."
}

// OAuthBearerValidatorCallbackHandler and BrokerJwtValidator
func TestJWT(t *testing.T) {
	one, two, stranger := newSigner(t, "one"), newSigner(t, "two"), newSigner(t, "one")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards := &signer{private, public, "ed", jose.EdDSA}
	nameless := &signer{two.key, two.public, "", jose.ES256}
	secret := &signer{[]byte("0123456789abcdef0123456789abcdef"), nil, "one", jose.HS256}
	cfg := JWTConfig{Keys: keys(one, two, edwards), ClockSkew: 30 * time.Second, Audience: []string{"kanal"}, Issuer: "issuer"}
	scoped, renamed := cfg, cfg
	scoped.RequiredScope = "write"
	renamed.SubClaim, renamed.ScopeClaim = "name", "roles"
	renamed.RequiredScope = "admin"
	for _, c := range []struct {
		name  string
		cfg   JWTConfig
		token string
		who   string // empty: refused
	}{
		{"good", cfg, one.sign(t, good(nil)), "carol"},
		{"another key", cfg, two.sign(t, good(nil)), "carol"},
		{"another kind of key", cfg, edwards.sign(t, good(nil)), "carol"},
		{"no key named", cfg, nameless.sign(t, good(nil)), "carol"},
		{"a stranger's key of the same name", cfg, stranger.sign(t, good(nil)), ""},
		{"a key of no name here", cfg, newSigner(t, "three").sign(t, good(nil)), ""},
		{"unsigned", cfg, unsigned(good(nil)), ""},
		{"a secret in place of a key", cfg, secret.sign(t, good(nil)), ""},
		{"no token", cfg, "carol", ""},
		{"changed", cfg, func() string {
			parts := strings.Split(one.sign(t, good(nil)), ".")
			parts[1] = strings.Split(unsigned(good(map[string]any{"sub": "root"})), ".")[1]
			return strings.Join(parts, ".")
		}(), ""},
		{"expired within the skew", cfg, one.sign(t, good(map[string]any{"exp": epoch.Unix() - 30})), "carol"},
		{"expired", cfg, one.sign(t, good(map[string]any{"exp": epoch.Unix() - 31})), ""},
		{"without an end", cfg, one.sign(t, good(map[string]any{"exp": nil})), ""},
		{"not yet", cfg, one.sign(t, good(map[string]any{"nbf": epoch.Unix() + 31})), ""},
		{"issued later", cfg, one.sign(t, good(map[string]any{"iat": epoch.Unix() + 31})), ""},
		{"another issuer", cfg, one.sign(t, good(map[string]any{"iss": "eve"})), ""},
		{"no audience", cfg, one.sign(t, good(map[string]any{"aud": nil})), ""},
		{"another audience", cfg, one.sign(t, good(map[string]any{"aud": "other"})), ""},
		{"nobody", cfg, one.sign(t, good(map[string]any{"sub": nil})), ""},
		{"blank", cfg, one.sign(t, good(map[string]any{"sub": " "})), ""},
		{"a number", cfg, one.sign(t, good(map[string]any{"sub": 7})), ""},
		{"scope", scoped, one.sign(t, good(nil)), "carol"},
		{"scopes as a list", scoped, one.sign(t, good(map[string]any{"scope": []string{"write"}})), "carol"},
		{"another scope", scoped, one.sign(t, good(map[string]any{"scope": "read"})), ""},
		{"other claims", renamed, one.sign(t, good(map[string]any{"name": "dave", "roles": []string{"admin"}})), "dave"},
	} {
		token, err := NewJWTVerifier(c.cfg).Verify(c.token, epoch)
		if (err == nil) != (c.who != "") || token.Principal != c.who {
			t.Errorf("%s: %+v, %v", c.name, token, err)
		}
		if err != nil && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the error tells the token", c.name)
		}
		if c.name == "good" && !token.Expires.Equal(epoch.Add(time.Minute)) {
			t.Errorf("expires %s", token.Expires)
		}
	}
}

// OAuthBearerSaslServerTest, testInsufficientScopeSaslOauthBearerMechanism: a refused token is told in a challenge, the
// failure follows with the same text.
func TestOAuthBearer(t *testing.T) {
	s := newSigner(t, "one")
	m := NewOAuthBearer(NewJWTVerifier(JWTConfig{Keys: keys(s), RequiredScope: "write"}), "write")
	token := s.sign(t, good(nil))
	message := func(header, token string) []byte {
		return []byte(header + "\x01auth=Bearer " + token + "\x01ext=1\x01\x01")
	}
	for header, ok := range map[string]bool{"n,,": true, "n,a=carol,": true, "n,a=dave,": false} {
		if e := m.Start().Evaluate(message(header, token), epoch); e.Done != ok || ok && (e.Principal != "carol" || e.Expires.IsZero()) || !ok && e.Err == nil {
			t.Errorf("%s: %+v", header, e)
		}
	}
	for status, token := range map[string]string{
		`{"status":"invalid_token"}`:                      "guess",
		`{"status":"insufficient_scope","scope":"write"}`: s.sign(t, good(map[string]any{"scope": "read"})),
	} {
		exchange := m.Start()
		e := exchange.Evaluate(message("n,,", token), epoch)
		if string(e.Challenge) != status || e.Done || e.Err != nil {
			t.Errorf("%+v, want %s", e, status)
		}
		var shown *Refusal
		if e = exchange.Evaluate([]byte{1}, epoch); !errors.As(e.Err, &shown) || shown.Message != status {
			t.Errorf("%+v, want %s", e, status)
		}
	}
}

func TestBearerMessages(t *testing.T) {
	for message, token := range map[string]string{
		"n,,\x01auth=Bearer x\x01\x01": "x", "n,,\x01auth=bearer x\x01\x01": "x", "n,a=u=2C,\x01k=v\x01auth=Bearer x\x01\x01": "x",
		"": "", "n,,": "", "n,,\x01\x01": "", "n,,\x01auth=Bearer x\x01": "", "n,,\x01auth=Basic x\x01\x01": "", "n,,\x01auth=Bearer \x01\x01": "",
		"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01": "", "y,,\x01auth=Bearer x\x01\x01": "", "n,u,\x01auth=Bearer x\x01\x01": "",
		"n,a=,\x01auth=Bearer x\x01\x01": "", "n,\x01auth=Bearer x\x01\x01": "", "n,,\x01auth\x01\x01": "",
	} {
		if _, got, err := parseBearer(message); got != token || (err == nil) != (token != "") {
			t.Errorf("%q: %q, %v", message, got, err)
		}
	}
	if name, ok := bearerAuthorization("n,a=u=2C=3D,"); !ok || name != "u,=" {
		t.Errorf("%q", name)
	}
}

var quiet = slog.New(slog.DiscardHandler)

func TestKeySetOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if _, err := OpenKeySet(path, time.Hour, quiet); err == nil {
		t.Error("opened without a file")
	}
	for _, content := range []string{"", "{}", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[{"kty":"EC"}]}`} {
		if _, err := parseKeys([]byte(content)); err == nil {
			t.Errorf("%q was taken", content)
		}
	}
	one, two := newSigner(t, "one"), newSigner(t, "two")
	encryption := one.jwk()
	encryption.Use = "enc"
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{encryption, two.jwk()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeySet(path, time.Hour, quiet)
	if err != nil || len(k.find("two")) != 1 || len(k.find("")) != 1 || k.find("one") != nil {
		t.Fatalf("%+v, %v", k, err)
	}
}

// A key that comes with a rotation is found by the first token that names it, and not asked for by every one.
func TestKeySetRotates(t *testing.T) {
	one, two := newSigner(t, "one"), newSigner(t, "two")
	var current atomic.Pointer[[]byte]
	var asked atomic.Int32
	set := jwks(t, one)
	current.Store(&set)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(*current.Load())
	}))
	defer server.Close()
	k, err := OpenKeySet(server.URL, time.Hour, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer k.client.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { k.Follow(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	set = jwks(t, one, two)
	if k.find("two") != nil || asked.Load() != 1 {
		t.Fatal("asked again at once")
	}
	k.mu.Lock()
	k.tried = time.Now().Add(-earlyPause)
	k.mu.Unlock()
	if len(k.find("two")) != 1 || len(k.find("one")) != 1 || asked.Load() != 2 {
		t.Fatalf("%+v after %d readings", k.named(""), asked.Load())
	}
}

// A source that does not answer at first is asked until it does; what was read once stays through its absence.
func TestKeySetSourceAway(t *testing.T) {
	var up atomic.Bool
	set := jwks(t, newSigner(t, "one"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(set)
	}))
	defer server.Close()
	k, err := OpenKeySet(server.URL, 50*time.Millisecond, quiet)
	if err != nil || len(k.current()) != 0 {
		t.Fatal(err)
	}
	defer k.client.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { k.Follow(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	up.Store(true)
	for end := time.Now().Add(10 * time.Second); len(k.current()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never read")
		}
	}
	up.Store(false)
	if err := k.read(ctx); err == nil || len(k.current()) != 1 {
		t.Fatalf("%v, %d keys", err, len(k.current()))
	}
}
