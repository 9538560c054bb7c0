package sasl

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"kanal/libs/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a set of credentials that the test knows.
type store struct {
	scram     map[string]ScramCredential // by mechanism and user
	passwords map[string]string
}

func (s *store) Scram(user, mechanism string) (ScramCredential, bool) {
	c, ok := s.scram[mechanism+":"+user]
	return c, ok
}

func (s *store) Password(user string) (string, bool) {
	p, ok := s.passwords[user]
	return p, ok
}

// newStore knows alice by both hashes and bob by his password.
func newStore(t testing.TB) *store {
	t.Helper()
	s := &store{map[string]ScramCredential{}, map[string]string{"bob": "builder"}}
	for _, m := range []string{ScramSHA256, ScramSHA512} {
		c, err := NewScramCredential(m, "wonderland", MinIterations)
		if err != nil {
			t.Fatal(err)
		}
		s.scram[m+":alice"] = c
	}
	return s
}

func mustScram(t testing.TB, name string, c Credentials) Mechanism {
	t.Helper()
	m, err := NewScram(name, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// steps is a mechanism that does as its tokens say: more, no (a refusal that the client may see), hush (one that it may
// not), or the name of who is let in, with the seconds that the credential lives after a slash.
type steps struct {
	name  string
	heavy bool
}

func (m steps) Name() string    { return m.name }
func (m steps) Heavy() bool     { return m.heavy }
func (m steps) Start() Exchange { return m }

func (m steps) Evaluate(token []byte, now time.Time) Evaluation {
	switch s := string(token); s {
	case "more":
		return Evaluation{Challenge: []byte("go on")}
	case "no":
		return refused("shown")
	case "hush":
		return Evaluation{Err: errHidden}
	case "soon":
		return Evaluation{Done: true, Principal: "alice", Expires: now.Add(2 * time.Second)}
	case "late":
		return Evaluation{Done: true, Principal: "alice", Expires: now.Add(-time.Second)}
	default:
		return Evaluation{Done: true, Principal: s}
	}
}

const errHidden = hidden("hidden")

type hidden string

func (h hidden) Error() string { return string(h) }

// Frames as clients write them.

func request(q kmsg.Request, version int16) []byte {
	q.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, q, 7)[4:]
}

func versionsFrame(version int16) []byte {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "test", "1.0"
	return request(q, version)
}

func handshakeFrame(mechanism string, version int16) []byte {
	q := kmsg.NewPtrSASLHandshakeRequest()
	q.Mechanism = mechanism
	return request(q, version)
}

func tokenFrame(token string, version int16) []byte {
	q := kmsg.NewPtrSASLAuthenticateRequest()
	q.SASLAuthBytes = []byte(token)
	return request(q, version)
}

func metadataFrame() []byte { return request(kmsg.NewPtrMetadataRequest(), 12) }

// noVersions answers ApiVersions of version 0 to 5 with four bytes.
func noVersions(h *protocol.Header, _ []byte) ([]byte, bool) {
	return binary.BigEndian.AppendUint32(nil, uint32(h.CorrelationID)), h.Version <= 5
}

// epoch is when the tests begin.
var epoch = time.Unix(1_700_000_000, 0)

// feed gives a frame, and does the work that it brings.
func feed(a *Authenticator, frame []byte, now time.Time) Step {
	step := a.Receive(frame, now)
	if step.Verdict == Working {
		step.Work()
		step = a.Finish(now)
	}
	return step
}

// authenticateAnswer reads the answer to a SaslAuthenticate.
func authenticateAnswer(t testing.TB, answer []byte, version int16) *kmsg.SASLAuthenticateResponse {
	t.Helper()
	r := kmsg.NewPtrSASLAuthenticateResponse()
	r.SetVersion(version)
	if version >= 2 {
		answer = answer[1:]
	}
	if err := r.ReadFrom(answer[4:]); err != nil {
		t.Fatalf("%x: %v", answer, err)
	}
	return r
}
