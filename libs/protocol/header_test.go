package protocol

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// frame is a request as kmsg's formatter writes it, without its size bytes.
func frame(r kmsg.Request, client string) []byte {
	opts := []kmsg.RequestFormatterOpt{}
	if client != "" {
		opts = append(opts, kmsg.FormatterClientID(client))
	}
	return kmsg.NewRequestFormatter(opts...).AppendRequest(nil, r, 77)[4:]
}

// TestParseHeaderOfEveryVersion holds header and body offset of every version
// of every api against kmsg's encoder (L1).
func TestParseHeaderOfEveryVersion(t *testing.T) {
	for key := APIKey(0); key < maxKey; key++ {
		if !key.Known() {
			continue
		}
		for v := int16(0); v <= apis[key].max; v++ {
			for _, client := range []string{"", "client-1"} {
				r := kmsg.RequestForKey(int16(key))
				r.SetVersion(v)
				b := frame(r, client)
				var h Header
				if err := ParseHeader(b, &h); err != nil {
					t.Fatalf("%s v%d: %v", key, v, err)
				}
				if h.Key != key || h.Version != v || h.CorrelationID != 77 || string(h.ClientID) != client {
					t.Fatalf("%s v%d: got %+v", key, v, h)
				}
				if body := r.AppendTo(nil); !bytes.Equal(b[h.Body:], body) {
					t.Fatalf("%s v%d: body %x, want %x", key, v, b[h.Body:], body)
				}
			}
		}
	}
}

// TestReleaseIsKafka41 holds the table against franz-go's record of the release.
func TestReleaseIsKafka41(t *testing.T) {
	want := kversion.V4_1_0()
	for key, r := range Release() {
		newest, ok := want.LookupMaxKeyVersion(int16(key))
		if key == ApiVersions {
			newest = 5 // design section 5
		}
		if !ok || newest != r.Max {
			t.Errorf("%s: newest %d, want %d (%t)", key, r.Max, newest, ok)
		}
		q := kmsg.RequestForKey(int16(key))
		for v := int16(0); v <= r.Max; v++ {
			if q.SetVersion(v); q.IsFlexible() != key.Flexible(v) {
				t.Errorf("%s v%d: flexible %t", key, v, key.Flexible(v))
			}
		}
	}
}

// Row L2.
func TestParseHeaderRefuses(t *testing.T) {
	good := frame(kmsg.NewPtrMetadataRequest(), "c")
	for name, b := range map[string][]byte{
		"empty":              {},
		"cut":                good[:9],
		"unknown key":        {0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"negative key":       {0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"negative version":   {0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff},
		"client id too long": {0, 3, 0, 1, 0, 0, 0, 1, 0, 9, 'a'},
		"client id negative": {0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xfe, 'a'},
		"tags cut":           {0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 1, 1, 9},
		"no tags":            {0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff},
	} {
		var h Header
		if err := ParseHeader(b, &h); !errors.Is(err, ErrInvalidHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseHeader: no input panics, and a header that parses lies in its frame.
func FuzzParseHeader(f *testing.F) {
	f.Add(frame(kmsg.NewPtrProduceRequest(), "c"), 5)
	f.Add(frame(kmsg.NewPtrApiVersionsRequest(), ""), 11)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut >= 0 && cut < len(b) {
			b = b[:cut]
		}
		var h Header
		if err := ParseHeader(b, &h); err != nil {
			return
		}
		if h.Body < 10 || h.Body > len(b) || len(h.ClientID) > len(b) {
			t.Fatalf("header outside its frame of %d: %+v", len(b), h)
		}
		ParseApiVersionsRequest(b[h.Body:], h.Version)
	})
}

func BenchmarkParseHeader(b *testing.B) {
	q := kmsg.NewPtrProduceRequest()
	q.SetVersion(11)
	in := frame(q, "a-client-of-some-length")
	var h Header
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseHeader(in, &h); err != nil {
			b.Fatal(err)
		}
	}
}
