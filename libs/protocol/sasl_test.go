package protocol

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSaslHandshake(t *testing.T) {
	for v := int16(0); v <= 1; v++ {
		q := kmsg.NewPtrSASLHandshakeRequest()
		q.SetVersion(v)
		q.Mechanism = "SCRAM-SHA-256"
		if got, ok := ParseSaslHandshakeRequest(q.AppendTo(nil)); !ok || got != q.Mechanism {
			t.Fatalf("v%d: %q, %t", v, got, ok)
		}
		b := SaslHandshakeResponse{ErrorUnsupportedSaslMechanism, []string{"PLAIN", "OAUTHBEARER"}}.Append(nil, 7)
		r := kmsg.NewPtrSASLHandshakeResponse()
		r.SetVersion(v)
		if err := r.ReadFrom(b[4:]); err != nil || b[3] != 7 || r.ErrorCode != 33 || len(r.SupportedMechanisms) != 2 || r.SupportedMechanisms[1] != "OAUTHBEARER" {
			t.Fatalf("v%d: %+v, %v", v, r, err)
		}
		if again := r.AppendTo(nil); !bytes.Equal(again, b[4:]) {
			t.Fatalf("v%d: %x, kmsg writes %x", v, b[4:], again)
		}
	}
}

func TestSaslAuthenticateOfEveryVersion(t *testing.T) {
	message := "no"
	for v := int16(0); v <= apis[SaslAuthenticate].max; v++ {
		for _, token := range []string{"", "\x00user\x00pw"} {
			q := kmsg.NewPtrSASLAuthenticateRequest()
			q.SetVersion(v)
			q.SASLAuthBytes = []byte(token)
			if got, ok := ParseSaslAuthenticateRequest(q.AppendTo(nil), v); !ok || string(got) != token {
				t.Fatalf("v%d: %q, %t", v, got, ok)
			}
			for _, m := range []string{"", message} {
				b := SaslAuthenticateResponse{58, m, []byte(token), 1234}.Append(nil, 7, v)
				body := b[4:]
				if v >= 2 {
					body = b[5:]
				}
				r := kmsg.NewPtrSASLAuthenticateResponse()
				r.SetVersion(v)
				if err := r.ReadFrom(body); err != nil || r.ErrorCode != 58 || string(r.SASLAuthBytes) != token || (r.ErrorMessage == nil) != (m == "") {
					t.Fatalf("v%d: %+v, %v", v, r, err)
				}
				if v >= 1 && r.SessionLifetimeMillis != 1234 {
					t.Fatalf("v%d: lifetime %d", v, r.SessionLifetimeMillis)
				}
				if again := r.AppendTo(nil); !bytes.Equal(again, body) {
					t.Fatalf("v%d: %x, kmsg writes %x", v, body, again)
				}
			}
		}
	}
}

// Cut anywhere, a request is refused, and never read beyond its end.
func TestSaslRequestsCutShort(t *testing.T) {
	h := kmsg.NewPtrSASLHandshakeRequest()
	h.Mechanism = "PLAIN"
	for whole, n := h.AppendTo(nil), 0; n < len(whole); n++ {
		if m, ok := ParseSaslHandshakeRequest(whole[:n]); ok {
			t.Fatalf("%d bytes: %q", n, m)
		}
	}
	for v := int16(0); v <= 2; v++ {
		q := kmsg.NewPtrSASLAuthenticateRequest()
		q.SetVersion(v)
		q.SASLAuthBytes = []byte("token")
		for whole, n := q.AppendTo(nil), 0; n < len(whole); n++ {
			if token, ok := ParseSaslAuthenticateRequest(whole[:n], v); ok {
				t.Fatalf("v%d, %d bytes: %q", v, n, token)
			}
		}
	}
	if _, ok := ParseSaslAuthenticateRequest([]byte{0xff, 0xff, 0xff, 0xff}, 1); ok {
		t.Fatal("null token")
	}
}

func FuzzParseSasl(f *testing.F) {
	f.Add([]byte("\x00\x05PLAIN"), int16(0))
	f.Add([]byte("\x00\x00\x00\x05token"), int16(1))
	f.Add([]byte("\x06token\x00"), int16(2))
	f.Fuzz(func(t *testing.T, body []byte, version int16) {
		if m, ok := ParseSaslHandshakeRequest(body); ok && len(m) > len(body)-2 {
			t.Fatalf("%q of %d bytes", m, len(body))
		}
		if token, ok := ParseSaslAuthenticateRequest(body, version&3); ok && len(token) >= len(body)+1 {
			t.Fatalf("%q of %d bytes", token, len(body))
		}
	})
}
