package requestchannel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanal/libs/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write the test vectors anew")

// sampleRequest sets every field of a request.
func sampleRequest() Request {
	return Request{
		ID: 0x0001_0000_0000_002a, Token: 0x1122334455667788, Announcement: 7, APIKey: protocol.Fetch, APIVersion: 13,
		Processor: 3, Broker: 2, Age: 1500 * time.Microsecond, Deadline: 30 * time.Second, Granted: 1 << 20,
		Part: 1, Parts: 2, Total: 600000, Redirects: 1, Attempt: 4, SecurityProtocol: SASLSSL,
		Privileged: true, Redelivered: true, MustServe: true,
		Origin: Origin{
			FrontEnd: "FE1", ConnectionID: "127.0.0.1:9092-127.0.0.1:50000-3-0", Listener: "PLAINTEXT",
			Principal: "User:ANONYMOUS", ClientAddress: "127.0.0.1", SoftwareName: "franz-go", SoftwareVersion: "1.22.2",
		},
		Frame: []byte{0, 1, 0, 13, 0, 0, 0, 9, 0xff, 0xff},
	}
}

func sampleResponse() Response {
	return Response{
		ID: 0x0001_0000_0000_002a, Token: 0x1122334455667788, Kind: Send, Throttle: 250 * time.Millisecond,
		Queue: 10 * time.Microsecond, Local: 200 * time.Microsecond, Remote: 3 * time.Millisecond,
		Part: 0, Parts: 1, Total: 4, Attempt: 4, Frame: []byte{0, 0, 0, 9},
	}
}

func encodeRequest(r Request) []byte {
	return append(AppendRequest(nil, &r, AppendOrigin(nil, r.Origin)), r.Frame...)
}

func encodeResponse(r Response) []byte { return append(AppendResponse(nil, &r), r.Frame...) }

// TestVectors holds the encoding against testdata, which handlers in other
// languages test against too.
func TestVectors(t *testing.T) {
	plain := sampleRequest()
	plain.Privileged, plain.Redelivered, plain.MustServe, plain.Part, plain.Parts, plain.Total = false, false, false, 0, 1, 10
	redirect := Response{ID: 42, Token: 7, Kind: Redirect, Target: "INSTANCE2", Parts: 1, Attempt: 1}
	parked := Response{ID: 42, Token: 7, Kind: Parked, Deadline: 5500 * time.Millisecond, Parts: 1, Attempt: 1}
	for name, b := range map[string][]byte{
		"request":           encodeRequest(plain),
		"request_all":       encodeRequest(sampleRequest()),
		"response_send":     encodeResponse(sampleResponse()),
		"response_noop":     encodeResponse(Response{ID: 42, Token: 7, Kind: NoOp, Parts: 1, Attempt: 1}),
		"response_redirect": encodeResponse(redirect),
		"response_parked":   encodeResponse(parked),
		"response_nottaken": encodeResponse(Response{ID: 42, Token: 7, Kind: NotTaken, Parts: 1, Attempt: 1}),
		"cancel":            appendCancel(nil, 42, false),
		"cancel_half":       appendCancel(nil, 42, true),
		"probe":             probe,
	} {
		path := filepath.Join("testdata", name+".hex")
		if *rewrite {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestRequestRoundTrip(t *testing.T) {
	want := sampleRequest()
	var got Request
	if err := ParseRequest(encodeRequest(want), &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Frame, want.Frame) {
		t.Fatalf("frame %x", got.Frame)
	}
	got.Frame, want.Frame = nil, nil
	if g, w := encodeRequest(got), encodeRequest(want); !bytes.Equal(g, w) || got.Origin != want.Origin || got.Age != want.Age || got.Deadline != want.Deadline {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func TestResponseRoundTrip(t *testing.T) {
	want := sampleResponse()
	want.Kind, want.Target, want.Deadline = Redirect, "ABC", 7*time.Second
	var got Response
	if err := ParseResponse(encodeResponse(want), &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encodeResponse(got), encodeResponse(want)) || got.Target != "ABC" || got.Deadline != want.Deadline {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

// A newer writer's longer header is read, its extra fields skipped.
func TestLongerHeaderOfANewerVersion(t *testing.T) {
	r := sampleResponse()
	b := AppendResponse(nil, &r)
	b = append(b, 1, 2, 3)
	b[offVersion], b[offHeaderLen+1] = EnvelopeVersion+1, byte(len(b))
	b = append(b, r.Frame...)
	var got Response
	if err := ParseResponse(b, &got); err != nil || !bytes.Equal(got.Frame, r.Frame) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestEnvelopesCutAnywhereAreRefused(t *testing.T) {
	var q Request
	b := encodeRequest(sampleRequest())
	for n := range len(b) - len(sampleRequest().Frame) {
		if err := ParseRequest(b[:n], &q); !errors.Is(err, ErrInvalidEnvelope) {
			t.Fatalf("request cut at %d: %v", n, err)
		}
	}
	var a Response
	b = encodeResponse(sampleResponse())
	for n := range len(b) - len(sampleResponse().Frame) {
		if err := ParseResponse(b[:n], &a); !errors.Is(err, ErrInvalidEnvelope) {
			t.Fatalf("response cut at %d: %v", n, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(encodeRequest(sampleRequest()), 10)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut >= 0 && cut < len(b) {
			b = b[:cut]
		}
		var r Request
		if ParseRequest(b, &r) == nil && len(r.Frame) > len(b)-requestFixed {
			t.Fatal("a frame longer than its message")
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	f.Add(encodeResponse(sampleResponse()), 10)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut >= 0 && cut < len(b) {
			b = b[:cut]
		}
		var r Response
		if ParseResponse(b, &r) == nil && len(r.Frame) > len(b)-responseFixed {
			t.Fatal("a frame longer than its message")
		}
		_, _, _ = parseCancel(b)
	})
}

func BenchmarkAppendRequest(b *testing.B) {
	r := sampleRequest()
	origin := AppendOrigin(nil, r.Origin)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRequest(buf[:0], &r, origin)
	}
}

func BenchmarkParseResponse(b *testing.B) {
	in := encodeResponse(sampleResponse())
	var r Response
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseResponse(in, &r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServerParse is what a handler pays for an envelope whose connection
// it has seen before.
func BenchmarkServerParse(b *testing.B) {
	in := encodeRequest(sampleRequest())
	s := &Server{origins: map[string]Origin{}}
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := s.parse(in, &r); err != nil {
			b.Fatal(err)
		}
	}
}
