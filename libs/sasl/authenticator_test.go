package sasl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"kanal/libs/protocol"
)

func testConfig() *Config {
	return &Config{Mechanisms: []Mechanism{steps{name: "ONE"}, steps{name: "TWO", heavy: true}}}
}

// into brings a new authenticator into a state.
func into(t testing.TB, cfg *Config, s state) *Authenticator {
	t.Helper()
	a := New(cfg, noVersions)
	for _, frame := range map[state][][]byte{
		initialRequest:             {},
		handshakeOrVersionsRequest: {versionsFrame(0)[:0]},
		handshakeRequest:           {versionsFrame(3)},
		authenticate:               {handshakeFrame("ONE", 1)},
		complete:                   {handshakeFrame("ONE", 1), tokenFrame("alice", 1)},
		failed:                     {handshakeFrame("ONE", 1), tokenFrame("no", 1)},
		reauthBadMechanism:         {handshakeFrame("ONE", 1), tokenFrame("alice", 1), handshakeFrame("TWO", 1)},
	}[s] {
		if s == handshakeOrVersionsRequest {
			frame = unknownVersions()
		}
		feed(a, frame, epoch)
	}
	if a.state != s {
		t.Fatalf("state %d, want %d", a.state, s)
	}
	return a
}

// unknownVersions is ApiVersions of a version that nobody knows (testApiVersionsRequestWithServerUnsupportedVersion).
func unknownVersions() []byte {
	b := versionsFrame(0)
	binary.BigEndian.PutUint16(b[2:], 32767)
	return b
}

func versioned(frame []byte, version int16) []byte {
	binary.BigEndian.PutUint16(frame[2:], uint16(version))
	return frame
}

// N1-N8, N13, N19, N20: every state and every kind of input, as in Kafka's table.
func TestTransitions(t *testing.T) {
	noise := []byte("\x60\x82\x02\x00 not Kafka")
	type want struct {
		verdict Verdict
		next    state
		err     error
		code    int16 // of the answer; -1: none
	}
	const none = -1
	illegal := want{Refused, failed, ErrIllegalState, none}
	invalid := want{Failed, failed, ErrInvalidRequest, none}
	unsupported := want{Refused, failed, ErrUnsupportedMechanism, 33}
	cfg := testConfig()
	cfg.MaxReauth = time.Minute
	for _, c := range []struct {
		state state
		name  string
		frame []byte
		want  want
	}{
		{initialRequest, "noise", noise, want{Refused, failed, ErrUnsupportedMechanism, none}}, // N3
		{initialRequest, "nothing", nil, want{Refused, failed, ErrUnsupportedMechanism, none}},
		{initialRequest, "ApiVersions", versionsFrame(0), want{Continue, handshakeRequest, nil, 0}},
		{initialRequest, "ApiVersions 4", versionsFrame(4), want{Continue, handshakeRequest, nil, 0}},
		{initialRequest, "unknown ApiVersions", unknownVersions(), want{Continue, handshakeOrVersionsRequest, nil, 0}},
		{initialRequest, "handshake", handshakeFrame("ONE", 1), want{Continue, authenticate, nil, 0}},
		{initialRequest, "handshake 0", handshakeFrame("TWO", 0), want{Continue, authenticate, nil, 0}},
		{initialRequest, "unknown mechanism", handshakeFrame("BOGUS", 1), unsupported},
		{initialRequest, "handshake of an unknown version", versioned(handshakeFrame("ONE", 1), 32767), invalid},
		{initialRequest, "handshake cut short", handshakeFrame("ONE", 1)[:16], invalid},
		{initialRequest, "Metadata", metadataFrame(), illegal},                     // N4
		{initialRequest, "Metadata's header alone", metadataFrame()[:15], illegal}, // testUnexpectedRequestType
		{initialRequest, "token", tokenFrame("alice", 1), illegal},

		{handshakeOrVersionsRequest, "noise", noise, invalid}, // N20
		{handshakeOrVersionsRequest, "ApiVersions", versionsFrame(3), want{Continue, handshakeRequest, nil, 0}},
		{handshakeOrVersionsRequest, "unknown ApiVersions again", unknownVersions(), want{Continue, handshakeOrVersionsRequest, nil, 0}},
		{handshakeOrVersionsRequest, "handshake", handshakeFrame("ONE", 1), want{Continue, authenticate, nil, 0}},
		{handshakeOrVersionsRequest, "unknown mechanism", handshakeFrame("", 0), unsupported},
		{handshakeOrVersionsRequest, "Metadata", metadataFrame(), illegal},

		{handshakeRequest, "noise", noise, invalid},
		{handshakeRequest, "ApiVersions", versionsFrame(3), want{Failed, failed, ErrIllegalState, none}}, // N5
		{handshakeRequest, "handshake", handshakeFrame("TWO", 1), want{Continue, authenticate, nil, 0}},
		{handshakeRequest, "unknown mechanism", handshakeFrame("one", 1), unsupported},
		{handshakeRequest, "Metadata", metadataFrame(), illegal},
		{handshakeRequest, "token", tokenFrame("alice", 1), illegal},

		{authenticate, "noise", noise, invalid},
		{authenticate, "more", tokenFrame("more", 1), want{Continue, authenticate, nil, 0}},
		{authenticate, "empty token", tokenFrame("", 2), want{Completed, complete, nil, 0}},
		{authenticate, "complete", tokenFrame("alice", 0), want{Completed, complete, nil, 0}},
		{authenticate, "refused", tokenFrame("no", 1), want{Refused, failed, ErrAuthenticationFailed, 58}},
		{authenticate, "refused otherwise", tokenFrame("hush", 2), want{Refused, failed, ErrAuthenticationFailed, 58}},
		{authenticate, "unknown version", versioned(tokenFrame("alice", 1), 3), invalid}, // N7
		{authenticate, "cut short", tokenFrame("alice", 1)[:18], invalid},
		{authenticate, "handshake", handshakeFrame("ONE", 1), want{Refused, failed, ErrIllegalState, 34}},
		{authenticate, "ApiVersions", versionsFrame(3), want{Refused, failed, ErrIllegalState, 34}}, // testInvalidApiVersionsRequestSequence
		{authenticate, "unknown ApiVersions", unknownVersions(), want{Refused, failed, ErrIllegalState, 34}},
		{authenticate, "Metadata", metadataFrame(), illegal},

		{complete, "Metadata", metadataFrame(), want{Passed, complete, nil, none}},
		{complete, "token", tokenFrame("alice", 1), want{Passed, complete, nil, none}}, // N19: answered 34
		{complete, "noise", noise, want{Passed, complete, nil, none}},
		{complete, "handshake", handshakeFrame("ONE", 1), want{Continue, authenticate, nil, 0}}, // N13
		{complete, "handshake, other mechanism", handshakeFrame("TWO", 1), want{Continue, reauthBadMechanism, nil, 0}},
		{complete, "handshake, unknown mechanism", handshakeFrame("BOGUS", 1), unsupported}, // Kafka: closed at once
		{complete, "handshake of an unknown version", versioned(handshakeFrame("ONE", 1), 9), invalid},

		{reauthBadMechanism, "token", tokenFrame("alice", 1), want{Refused, failed, ErrAuthenticationFailed, 58}},
		{reauthBadMechanism, "Metadata", metadataFrame(), illegal},
		{failed, "token", tokenFrame("alice", 1), want{Failed, failed, ErrIllegalState, none}},
		{failed, "handshake", handshakeFrame("ONE", 1), want{Failed, failed, ErrIllegalState, none}},
	} {
		t.Run(fmt.Sprintf("%d/%s", c.state, c.name), func(t *testing.T) {
			a := into(t, cfg, c.state)
			step := feed(a, c.frame, epoch.Add(time.Second))
			if step.Verdict != c.want.verdict || a.state != c.want.next || !errors.Is(step.Err, c.want.err) || (step.Err == nil) != (c.want.err == nil) {
				t.Fatalf("verdict %d, state %d, %v; want %+v", step.Verdict, a.state, step.Err, c.want)
			}
			if (step.Answer == nil) != (c.want.code == none) {
				t.Fatalf("answer %x", step.Answer)
			}
			if c.want.code > 0 && !strings.Contains(string(step.Answer[4:]), string([]byte{0, byte(c.want.code)})) {
				t.Fatalf("answer %x, want error %d", step.Answer, c.want.code)
			}
		})
	}
}

// N6: an answer to the handshake lists what is enabled, in both cases.
func TestHandshakeListsMechanisms(t *testing.T) {
	for _, name := range []string{"ONE", "BOGUS"} {
		answer := string(feed(New(testConfig(), noVersions), handshakeFrame(name, 1), epoch).Answer)
		if !strings.HasSuffix(answer, "\x00\x00\x00\x02\x00\x03ONE\x00\x03TWO") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}

// N7, testClientExceptionDoesNotContainSensitiveData: a mechanism's own words are shown, other errors are not.
func TestRefusalsSayWhatTheyMay(t *testing.T) {
	for token, want := range map[string]string{
		"no": "shown", "hush": "Authentication failed during authentication due to invalid credentials with SASL mechanism ONE",
	} {
		for version := int16(0); version <= 2; version++ {
			r := authenticateAnswer(t, feed(into(t, testConfig(), authenticate), tokenFrame(token, version), epoch).Answer, version)
			if r.ErrorCode != 58 || r.ErrorMessage == nil || *r.ErrorMessage != want {
				t.Errorf("%s v%d: %+v", token, version, r)
			}
		}
	}
}

// N8: tokens of handshake version 0 are frames of their own, and failures have no answer.
func TestRawTokens(t *testing.T) {
	for token, want := range map[string]Step{
		"more": {Verdict: Continue, Answer: []byte("go on")}, "alice": {Verdict: Completed, Answer: []byte{}},
		"no": {Verdict: Refused}, "hush": {Verdict: Refused},
	} {
		a := New(testConfig(), noVersions)
		feed(a, handshakeFrame("TWO", 0), epoch)
		step := feed(a, []byte(token), epoch)
		if step.Verdict != want.Verdict || string(step.Answer) != string(want.Answer) || (step.Answer == nil) != (want.Answer == nil) {
			t.Errorf("%s: %+v", token, step)
		}
	}
}

// Heavy work gets the token as it was: the frame's memory is used again.
func TestWorkHasItsOwnToken(t *testing.T) {
	a := New(testConfig(), noVersions)
	feed(a, handshakeFrame("TWO", 1), epoch)
	frame := tokenFrame("alice", 1)
	step := a.Receive(frame, epoch)
	clear(frame)
	step.Work()
	if a.Finish(epoch); a.Session().Principal != "alice" {
		t.Fatalf("%+v", a.Session())
	}
}

// N15, testSessionExpiresAt...: the shorter of the credential's life and the listener's limit; the client is told.
func TestSessionLifetime(t *testing.T) {
	for _, c := range []struct {
		max     time.Duration
		token   string
		version int16
		told    int64
		expires time.Duration // -1: never
	}{
		{0, "alice", 1, 0, -1},
		{0, "soon", 1, 2000, 2 * time.Second},           // testSessionExpiresAtTokenExpiryDespiteNoReauthIsSet
		{time.Second, "soon", 1, 1000, time.Second},     // testSessionExpiresAtMaxReauthTime
		{time.Minute, "soon", 2, 2000, 2 * time.Second}, // testSessionExpiresAtTokenExpiry
		{time.Minute, "alice", 2, 60000, time.Minute},
		{time.Minute, "late", 2, 0, 0},
		{time.Minute, "alice", 0, 0, time.Minute}, // N17
	} {
		cfg := testConfig()
		cfg.MaxReauth = c.max
		a := into(t, cfg, authenticate)
		r := authenticateAnswer(t, feed(a, tokenFrame(c.token, c.version), epoch).Answer, c.version)
		session := a.Session()
		if r.SessionLifetimeMillis != c.told || session.KnowsLifetime != (c.version >= 1) || session.Reauthenticated {
			t.Errorf("%+v: %+v, %+v", c, r, session)
		}
		if never := c.expires < 0; never != session.Expires.IsZero() || !never && !session.Expires.Equal(epoch.Add(c.expires)) {
			t.Errorf("%+v: expires %s", c, session.Expires)
		}
	}
}

// N13, N14: a session's end shows at the next request, and a handshake is still taken after it.
func TestSessionEnds(t *testing.T) {
	cfg := testConfig()
	cfg.MaxReauth = 10 * time.Second
	end := epoch.Add(10 * time.Second)
	if step := into(t, cfg, complete).Receive(metadataFrame(), end); step.Verdict != Passed {
		t.Errorf("at its end: %+v", step)
	}
	if step := into(t, cfg, complete).Receive(metadataFrame(), end.Add(1)); step.Verdict != Expired || !errors.Is(step.Err, ErrSessionExpired) {
		t.Errorf("after its end: %+v", step)
	}
	a := into(t, cfg, complete)
	if step := feed(a, handshakeFrame("ONE", 1), end.Add(time.Hour)); step.Verdict != Continue {
		t.Errorf("handshake after its end: %+v", step)
	}
	if step := feed(a, tokenFrame("alice", 1), end.Add(time.Hour)); step.Verdict != Completed || !a.Session().Expires.Equal(end.Add(time.Hour+10*time.Second)) {
		t.Errorf("%+v, %+v", step, a.Session())
	}
	endless := into(t, testConfig(), complete)
	if step := endless.Receive(handshakeFrame("ONE", 1), epoch.Add(time.Hour)); step.Verdict != Passed { // N19
		t.Errorf("handshake in a session without an end: %+v", step)
	}
}

// testCannotReauthenticateAgainFasterThanOneSecond: counted from start to start.
func TestReauthenticationPause(t *testing.T) {
	cfg := testConfig()
	cfg.MaxReauth = time.Minute
	a, now := into(t, cfg, complete), epoch
	again := func(after time.Duration) Verdict {
		now = now.Add(after)
		return feed(a, handshakeFrame("ONE", 1), now).Verdict
	}
	if again(0) != Continue {
		t.Fatal("the first may come at once")
	}
	now = now.Add(999 * time.Millisecond)
	feed(a, tokenFrame("alice", 1), now)
	if a.Session().Latency != 999*time.Millisecond || !a.Session().Reauthenticated {
		t.Errorf("%+v", a.Session()) // N18
	}
	if again(0) != Passed || again(time.Millisecond) != Continue {
		t.Fatal("the second may come a second after the first")
	}
}

// testCannotReauthenticateWithDifferentPrincipal
func TestReauthenticationKeepsThePrincipal(t *testing.T) {
	cfg := testConfig()
	cfg.MaxReauth = time.Minute
	a := into(t, cfg, complete)
	feed(a, handshakeFrame("ONE", 1), epoch)
	step := feed(a, tokenFrame("bob", 1), epoch)
	if step.Verdict != Refused || !a.Reauthenticates() || authenticateAnswer(t, step.Answer, 1).ErrorCode != 58 {
		t.Fatalf("%+v", step)
	}
	if a.Session().Principal != "alice" {
		t.Fatalf("%+v", a.Session())
	}
}

// N10
func TestOversized(t *testing.T) {
	step := into(t, testConfig(), authenticate).Oversized(errors.New("size -1"))
	if step.Verdict != Refused || step.Answer != nil || !errors.Is(step.Err, ErrAuthenticationFailed) {
		t.Fatalf("%+v", step)
	}
}

// N19
func TestIllegalStateAnswer(t *testing.T) {
	for _, c := range []struct {
		key     protocol.APIKey
		version int16
		ok      bool
	}{
		{protocol.SaslHandshake, 0, true}, {protocol.SaslHandshake, 1, true}, {protocol.SaslHandshake, 2, false},
		{protocol.SaslAuthenticate, 0, true}, {protocol.SaslAuthenticate, 2, true}, {protocol.SaslAuthenticate, 3, false},
		{protocol.Metadata, 1, false},
	} {
		answer := IllegalStateAnswer(&protocol.Header{Key: c.key, Version: c.version, CorrelationID: 7})
		if (answer != nil) != c.ok {
			t.Errorf("%+v: %x", c, answer)
		} else if c.ok && c.key == protocol.SaslAuthenticate && authenticateAnswer(t, answer, c.version).ErrorCode != 34 {
			t.Errorf("%+v: %x", c, answer)
		}
	}
}

// modelled is a dumb copy of Kafka's table, in which a frame is a word.
type modelled struct {
	state string
	again bool
	begun time.Time
	who   string
	ends  time.Time
}

func (m *modelled) frame(word string, now time.Time) (verdict Verdict) {
	fail := func(v Verdict) Verdict { m.state = "failed"; return v }
	switch m.state + " " + word {
	case "start versions":
		m.state = "versions"
	case "start one", "versions one", "start two", "versions two":
		m.state = word
	case "versions versions":
		return fail(Failed)
	case "one more", "two more":
	case "one alice", "one bob", "two alice", "two bob":
		if m.again && m.who != word {
			return fail(Refused)
		}
		m.who, m.state, m.again, m.ends = word, "in by "+m.state, false, now.Add(5*time.Second)
		return Completed
	default:
		switch {
		case strings.HasPrefix(m.state, "in by "):
			return m.session(word, now, fail)
		case m.state == "failed":
			return Failed
		}
		return fail(Refused)
	}
	return Continue
}

func (m *modelled) session(word string, now time.Time, fail func(Verdict) Verdict) Verdict {
	if word != "one" && word != "two" && word != "bogus" {
		if now.After(m.ends) {
			return fail(Expired)
		}
		return Passed
	}
	if !m.begun.IsZero() && now.Sub(m.begun) < time.Second {
		return Passed
	}
	m.begun, m.again = now, true
	switch {
	case word == "bogus":
		return fail(Refused)
	case m.state == "in by "+word:
		m.state = word
	default:
		m.state = "bad"
	}
	return Continue
}

// A property: whatever clients send and whenever, the machine does as the dumb model.
func TestAgainstModel(t *testing.T) {
	words := map[string][]byte{
		"versions": versionsFrame(3), "one": handshakeFrame("ONE", 1), "two": handshakeFrame("TWO", 1), "bogus": handshakeFrame("BOGUS", 1),
		"more": tokenFrame("more", 1), "alice": tokenFrame("alice", 1), "bob": tokenFrame("bob", 1), "no": tokenFrame("no", 1), "metadata": metadataFrame(),
	}
	likely := []string{"versions", "one", "one", "one", "two", "bogus", "more", "alice", "alice", "alice", "bob", "no", "metadata", "metadata"}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	cfg := testConfig()
	cfg.MaxReauth = 5 * time.Second
	ends := map[Verdict]int{}
	for range 30000 {
		a, m, now := New(cfg, noVersions), &modelled{state: "start"}, epoch
		var story []string
		for range 12 {
			word := likely[r.IntN(len(likely))]
			now = now.Add(time.Duration(r.IntN(2000)) * time.Millisecond)
			story = append(story, fmt.Sprintf("%s %s", now.Sub(epoch), word))
			got, want := feed(a, words[word], now).Verdict, m.frame(word, now)
			if got != want {
				t.Fatalf("seed %d: verdict %d, the model says %d: %v", seed, got, want, story)
			}
			if ends[got]++; m.state == "failed" {
				break
			}
		}
	}
	for _, v := range []Verdict{Continue, Completed, Passed, Refused, Failed, Expired} {
		if ends[v] < 100 {
			t.Errorf("verdict %d came %d times", v, ends[v])
		}
	}
}

// FuzzAuthenticator: arbitrary frames never panic, always end in one of the verdicts, and only a good token lets in.
func FuzzAuthenticator(f *testing.F) {
	f.Add([]byte("\x00"), uint8(0))
	f.Add(handshakeFrame("PLAIN", 1), uint8(1))
	f.Add(tokenFrame("n,,n=alice,r=x", 1), uint8(2))
	f.Add(tokenFrame("\x00alice\x00guess", 2), uint8(3))
	f.Add([]byte("n,,\x01auth=Bearer a.b.c\x01\x01"), uint8(4))
	s := &store{scram: map[string]ScramCredential{}, passwords: map[string]string{}}
	sha256, _ := NewScram(ScramSHA256, s)
	cfg := &Config{Mechanisms: []Mechanism{NewPlain(s), sha256, NewOAuthBearer(NewJWTVerifier(JWTConfig{Keys: &KeySet{tried: time.Now()}}), "")}, MaxReauth: time.Second}
	f.Fuzz(func(t *testing.T, frame []byte, start uint8) {
		a := New(cfg, noVersions)
		switch names := []string{Plain, ScramSHA256, OAuthBearer}; {
		case start%8 < 3:
			feed(a, handshakeFrame(names[start%8], int16(start&8)>>3), epoch)
		case start%8 == 3:
			feed(a, versionsFrame(0), epoch)
		}
		for range 3 {
			step := feed(a, frame, epoch)
			if step.Verdict == Completed || step.Verdict > Expired {
				t.Fatalf("%+v", step)
			}
			if ended := step.Verdict >= Refused; ended != (step.Err != nil) || ended && a.state != failed {
				t.Fatalf("%+v in state %d", step, a.state)
			}
			if strings.Contains(fmt.Sprint(step.Err), "guess") {
				t.Fatalf("told: %v", step.Err)
			}
		}
	})
}
