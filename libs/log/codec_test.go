package log

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestHeaderSurvives(t *testing.T) {
	h := Header{Kind: KindEmpty, Application: 7, ID: ID{1, 2}, Predecessor: ID{3, 4}}
	record := append(make([]byte, HeaderSize), "body"...)
	h.Put(record)
	got, body, err := ParseHeader(record)
	if err != nil || got != h || string(body) != "body" {
		t.Fatalf("got %+v, %q, %v", got, body, err)
	}
}

func TestHeaderOfLaterVersionIsNoVoid(t *testing.T) {
	record := make([]byte, HeaderSize)
	Header{Kind: KindMessage, ID: ID{1, 1}}.Put(record)
	record[0]++
	if _, _, err := ParseHeader(record); !errors.Is(err, ErrVersion) {
		t.Fatalf("got %v", err)
	}
}

func TestChain(t *testing.T) {
	a, b := ID{1, 1}, ID{2, 1}
	var c Chain
	for _, step := range []struct {
		what     string
		sequence uint64
		h        Header
		want     Verdict
	}{
		{"first message follows nothing", 1, Header{Kind: KindMessage, ID: a}, Valid},
		{"seen already", 1, Header{Kind: KindMessage, ID: a}, Old},
		{"another first message is too late", 2, Header{Kind: KindMessage, ID: b}, Void},
		{"right number, wrong writer", 3, Header{Kind: KindMessage, ID: ID{2, 2}, Predecessor: b}, Void},
		{"checkpoints stand aside", 4, Header{Kind: KindCheckpoint, ID: b}, Aside},
		{"malformed", 5, Header{}, Void},
		{"follows by identity, not by place", 6, Header{Kind: KindEmpty, ID: b, Predecessor: a}, Valid},
		{"purged between", 8, Header{Kind: KindMessage, ID: ID{1, 2}, Predecessor: b}, Gap},
	} {
		got := c.Judge(step.sequence, step.h)
		if got != step.want {
			t.Fatalf("%s: got %d, want %d", step.what, got, step.want)
		}
		if got != Old && got != Gap {
			c.Take(step.sequence, step.h, got)
		}
	}
	if want := []uint64{2, 3, 5}; c.Last != b || c.Tail != 6 || c.LastSequence != 6 || !reflect.DeepEqual(c.Voids, want) {
		t.Fatalf("ended as %+v", c)
	}
	if c.Forget(3); !reflect.DeepEqual(c.Voids, []uint64{3, 5}) {
		t.Fatalf("voids %v", c.Voids)
	}
}

func TestCheckpointInParts(t *testing.T) {
	c := Chain{Tail: 41, Last: ID{9, 8}, LastSequence: 40}
	for _, size := range []int{0, 1, partBytes, partBytes + 1, 3*partBytes - 1} {
		body := bytes.Repeat([]byte("checkpoint"), size/10+1)[:size]
		var parts []*Part
		for _, r := range cut(&c, Header{Application: 1, ID: ID{5, 6}}, 17, body) {
			if len(r) > 512<<10 {
				t.Fatalf("part of %d bytes", len(r))
			}
			p, err := ParsePart(r)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, p)
		}
		got, whole, err := join(parts)
		if err != nil || !bytes.Equal(whole, body) {
			t.Fatalf("size %d: %d bytes, %v", size, len(whole), err)
		}
		if want := (Chain{Tail: 41 + uint64(len(parts)), Last: c.Last, LastSequence: 40}); !reflect.DeepEqual(got, want) {
			t.Fatalf("size %d: chain %+v, want %+v", size, got, want)
		}
		if _, _, err := join(parts[:len(parts)-1]); err == nil {
			t.Fatal("an incomplete checkpoint counted")
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	record := append(make([]byte, HeaderSize), "body"...)
	Header{Kind: KindMessage, Application: 1, ID: ID{1, 2}, Predecessor: ID{3, 4}}.Put(record)
	f.Add(record, 3)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		h, body, err := ParseHeader(b)
		if err != nil {
			return
		}
		again := append(make([]byte, HeaderSize), body...)
		h.Put(again)
		if h2, body2, err := ParseHeader(again); err != nil || h2 != h || !bytes.Equal(body2, body) {
			t.Fatalf("%+v became %+v, %v", h, h2, err)
		}
		if at >= 0 && at < HeaderSize {
			if _, _, err := ParseHeader(b[:at]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("cut at %d: %v", at, err)
			}
		}
	})
}

func FuzzParsePart(f *testing.F) {
	for _, r := range cut(&Chain{Tail: 3, Last: ID{1, 1}}, Header{Application: 1, ID: ID{5, 6}}, 1, appendVoids(nil, []uint64{1, 2})) {
		f.Add(r, 50)
	}
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		p, err := ParsePart(b)
		if err != nil {
			return
		}
		q, err := ParsePart(p.append(nil))
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v, %v", p, q, err)
		}
		if at >= 0 && at < HeaderSize+partHeaderSize {
			if _, err := ParsePart(b[:at]); err == nil {
				t.Fatalf("cut at %d was understood", at)
			}
		}
		_, _, _ = parseVoids(p.Body)
	})
}

func FuzzParseChanges(f *testing.F) {
	f.Add(appendChange(appendChange(nil, "k", []byte("v")), "gone", nil), 5)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		var again []byte
		if err := parseChanges(b, func(k string, v []byte) { again = appendChange(again, k, v) }); err != nil {
			return
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		if at <= 0 || at >= len(b) {
			return
		}
		var head []byte
		if parseChanges(b[:at], func(k string, v []byte) { head = appendChange(head, k, v) }) == nil && !bytes.Equal(head, b[:at]) {
			t.Fatalf("cut at %d: %x", at, head)
		}
	})
}
