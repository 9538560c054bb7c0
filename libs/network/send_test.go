package network

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Rows I13, I14, I15: whatever the socket takes at a time, the bytes are the frames in order, and each send completes with its last byte.
func TestSendsLeaveInOrder(t *testing.T) {
	for seed := range uint64(60) {
		chance := rand.New(rand.NewPCG(seed, 2))
		s := newSelector(t, Config{MaxReceiveSize: 1})
		w := &wire{}
		for range chance.IntN(100) {
			w.takes = append(w.takes, chance.IntN(1<<chance.IntN(18)))
		}
		c := attach(t, s, w)
		var want []byte
		var ends []int
		completed := 0
		for i := range 1 + chance.IntN(20) {
			payload := noise(chance, chance.IntN(1<<chance.IntN(18)))
			want = append(want, frames(string(payload))...)
			ends = append(ends, len(want))
			s.Send(c, Send{Frame: payload, Cookie: i})
			if chance.IntN(2) == 0 {
				s.Poll(0)
			}
			completed = checkCompleted(t, s, w, ends, completed)
		}
		for range len(w.takes) + 10 {
			s.flush(c)
			completed = checkCompleted(t, s, w, ends, completed)
		}
		if !bytes.Equal(w.out, want) || completed != len(ends) || c.Unsent() != 0 {
			t.Fatalf("seed %d: %d of %d bytes, %d of %d sends, %d unsent", seed, len(w.out), len(want), completed, len(ends), c.Unsent())
		}
	}
}

func checkCompleted(t *testing.T, s *Selector, w *wire, ends []int, completed int) int {
	t.Helper()
	for _, done := range s.CompletedSends() {
		if done.Cookie != completed || len(w.out) < ends[completed] {
			t.Fatalf("send %v completed as number %d with %d bytes out, %d needed", done.Cookie, completed, len(w.out), ends[completed])
		}
		completed++
	}
	if completed < len(ends) && len(w.out) >= ends[completed] {
		t.Fatalf("send %d is out but not completed", completed)
	}
	return completed
}

// All answers of one pass leave in one write.
func TestAnswersOfAPassAreOneWrite(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1})
	w := &wire{takes: []int{1 << 20}}
	c := attach(t, s, w)
	for i := range 50 {
		s.Send(c, Send{Frame: fmt.Append(nil, "answer ", i)})
	}
	s.Poll(0)
	if len(s.CompletedSends()) != 50 || len(w.takes) != 0 {
		t.Fatal("not all sends completed")
	}
}

// A peer that has shut down its half is closed after its last answer, not before.
func TestEndWaitsForTheAnswers(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1})
	w := &wire{takes: []int{3, 0}} // the second is what the event of the stand-in descriptor brings
	c := attach(t, s, w)
	s.Send(c, Send{Frame: []byte("answer")})
	arrive(s, c) // the end of stream
	s.Poll(0)
	if len(s.Disconnected()) != 0 || c.Unsent() != 7 {
		t.Fatalf("closed with %d bytes to go", c.Unsent())
	}
	s.flush(c)
	s.Poll(0)
	if gone := s.Disconnected(); len(gone) != 1 || gone[0].Reason != ReasonPeerClosed || len(gone[0].Lost) != 0 || len(w.out) != 10 {
		t.Fatalf("gone %+v, %d bytes out", gone, len(w.out))
	}
}

// Row E7: what cannot be written any more is told as lost, with the close.
func TestUnsentAnswersAreLost(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1})
	c := attach(t, s, &wire{takes: []int{10, 0, 0, 0, 0}})
	s.Send(c, Send{Frame: []byte("one"), Cookie: 1})
	s.Send(c, Send{Frame: []byte("two"), Cookie: 2})
	s.Send(c, Send{Frame: []byte("three"), Cookie: 3})
	s.Poll(0)
	if done := s.CompletedSends(); len(done) != 1 || done[0].Cookie != 1 {
		t.Fatalf("completed %v", done)
	}
	s.CloseChannel(c, ReasonPeerReset, nil)
	s.CloseChannel(c, ReasonShutdown, nil) // nothing more
	gone := s.Disconnected()
	if len(gone) != 1 || gone[0].Reason != ReasonPeerReset || len(gone[0].Lost) != 2 || gone[0].Lost[1].Cookie != 3 {
		t.Fatalf("gone %+v", gone)
	}
}

// Row E4: tokens find their channel and no later one in the same place.
func TestTokensAreNotReused(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1})
	seen := map[uint64]bool{}
	var old *Channel
	for range 100 {
		c := attach(t, s, &wire{})
		if seen[c.Token()] || c.Token() == 0 || s.Channel(c.Token()) != c {
			t.Fatalf("token %d", c.Token())
		}
		seen[c.Token()] = true
		if old != nil && s.Channel(old.Token()) != nil {
			t.Fatal("a closed channel was found")
		}
		s.CloseChannel(c, ReasonShutdown, nil)
		old = c
	}
	if len(s.slots) != 1 {
		t.Errorf("%d slots for one channel at a time", len(s.slots))
	}
}
