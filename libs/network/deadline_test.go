package network

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kanal/libs/epoll"
)

// hand is a clock that the test moves.
type hand struct{ now int64 }

func (h *hand) read() int64 { return h.now }

func newTimed(t testing.TB, d Deadlines) (*Selector, *hand) {
	clock := &hand{now: 1}
	return newSelector(t, Config{MaxReceiveSize: 100, Now: clock.read, Deadlines: d}), clock
}

// modelled is what the dumb model knows of a channel.
type modelled struct {
	*Channel
	wire   *wire
	active int64
	since  int64
	served bool
	muted  bool
}

// Rows K1, K2, K3, K6: whatever happens in whatever order, exactly those channels are closed whose time is over, in the first
// pass after it; a muted channel (a request under way) is never idle. The model looks at all channels after each pass.
func TestDeadlinesAgainstAModel(t *testing.T) {
	for seed := range uint64(100) {
		deadlines(t, seed)
	}
}

func deadlines(t *testing.T, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 5))
	limits := Deadlines{Idle: time.Duration(chance.IntN(300)), FirstReceive: time.Duration(chance.IntN(200))}
	s, clock := newTimed(t, limits)
	var all []*modelled
	for step := range 400 {
		clock.now += int64(chance.IntN(20))
		switch op := chance.IntN(5); {
		case op == 0 && len(all) < 40:
			w := &wire{}
			all = append(all, &modelled{Channel: attach(t, s, w), wire: w, active: clock.now, since: clock.now})
		case len(all) > 0:
			m := all[chance.IntN(len(all))]
			happen(s, m, clock.now, op)
		}
		if err := s.Poll(0); err != nil {
			t.Fatal(err)
		}
		for _, r := range s.Receives() {
			r.Channel.Mute()
			m := all[slices.IndexFunc(all, func(m *modelled) bool { return m.Channel == r.Channel })]
			m.served, m.muted = true, true
		}
		checkDeadlines(t, s, limits, clock.now, &all)
		if t.Failed() {
			t.Fatalf("seed %d, step %d, %+v", seed, step, limits)
		}
	}
}

// happen makes an event as the kernel would, or unmutes.
func happen(s *Selector, m *modelled, now int64, op int) {
	switch op {
	case 1, 2: // the event is taken down before the pass has its time: both are the same here
		s.now = now
		s.touch(m.Channel)
		m.active = now
	case 3:
		if m.wire.in = frames("x"); !m.muted {
			m.wire.pieces = []int{5, 0}
			arrive(s, m.Channel)
			s.now = now
			s.touch(m.Channel)
			m.active = now
		}
	case 4:
		if m.muted {
			s.now = now
			m.muted, m.active = false, now
			m.wire.in, m.readable = nil, false
			s.MaybeUnmute(m.Channel)
		}
	}
}

func checkDeadlines(t *testing.T, s *Selector, limits Deadlines, now int64, all *[]*modelled) {
	gone := map[*Channel]CloseReason{}
	for _, c := range s.Disconnected() {
		gone[c.Channel] = c.Reason
	}
	*all = slices.DeleteFunc(*all, func(m *modelled) bool {
		idle := limits.Idle > 0 && !m.muted && m.active+int64(limits.Idle) <= now
		first := limits.FirstReceive > 0 && !m.served && m.since+int64(limits.FirstReceive) <= now
		reason, closed := gone[m.Channel]
		switch {
		case closed != (idle || first):
			t.Errorf("closed %v (%v), idle for %d of %d, muted %v, served %v, open for %d", closed, reason, now-m.active, limits.Idle, m.muted, m.served, now-m.since)
		case closed && !(idle && reason == ReasonIdleExpired || first && reason == ReasonFirstRequestDeadline):
			t.Errorf("closed as %v, idle %v, first %v", reason, idle, first)
		}
		return closed
	})
	if limits.any() && len(s.timers) != len(*all) {
		t.Errorf("%d timers for %d channels", len(s.timers), len(*all))
	}
}

// The next due time bounds the wait, and nothing does without channels or limits: no fixed steps (K3's nextCheck).
func TestPollWaitsUntilTheNextDeadline(t *testing.T) {
	s, clock := newTimed(t, Deadlines{Idle: 100, FirstReceive: 40})
	if got := s.wait(epoll.Forever); got != epoll.Forever {
		t.Errorf("waits %d without channels", got)
	}
	c := attach(t, s, &wire{})
	for _, want := range []struct{ timeout, got time.Duration }{{epoll.Forever, 40}, {70, 40}, {7, 7}, {0, 0}} {
		if got := s.wait(want.timeout); got != want.got {
			t.Errorf("waits %d of %d, want %d", got, want.timeout, want.got)
		}
	}
	clock.now += 50
	s.Poll(epoll.Forever) // must not sleep: it is due
	if gone := s.Disconnected(); len(gone) != 1 || gone[0].Channel != c || gone[0].Reason != ReasonFirstRequestDeadline {
		t.Fatalf("gone %+v", gone)
	}
	untimed := newSelector(t, Config{MaxReceiveSize: 1})
	attach(t, untimed, &wire{})
	if got := untimed.wait(epoll.Forever); got != epoll.Forever || len(untimed.timers) > 0 {
		t.Errorf("waits %d without limits", got)
	}
}

// Row K3: closing many is spread over passes, which do not wait in between.
func TestExpiriesAreSpread(t *testing.T) {
	s, clock := newTimed(t, Deadlines{Idle: 10})
	const n = 2*expiriesPerPoll + 7
	for range n {
		attach(t, s, &wire{})
	}
	clock.now += 10
	for _, want := range []int{expiriesPerPoll, expiriesPerPoll, 7, 0} {
		if s.Poll(0); len(s.Disconnected()) != want {
			t.Fatalf("not %d closed in a pass", want)
		}
		if s.Open() > 0 && s.wait(epoll.Forever) != 0 {
			t.Error("the next pass would wait")
		}
	}
}

// Rows D8, F14: first whoever is closing already, then the least recently active, last whoever waits for an answer.
func TestLeastRecent(t *testing.T) {
	s, clock := newTimed(t, Deadlines{Idle: time.Hour})
	if s.LeastRecent() != nil {
		t.Fatal("there are no channels")
	}
	var cs []*Channel
	for range 6 {
		clock.now++
		cs = append(cs, attach(t, s, &wire{}))
	}
	cs[0].Mute()
	clock.now++
	s.now = clock.now
	s.touch(cs[1])
	cs[5].peerClosed = true
	for i, want := range []int{5, 2, 3, 4, 1, 0} {
		c := s.LeastRecent()
		if c != cs[want] {
			t.Fatalf("victim %d is %d, want %d", i, slices.Index(cs, c), want)
		}
		s.CloseChannel(c, ReasonExcessConnection, nil)
	}
}

// The heap against sorting.
func TestTimers(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	var h timers
	var all []*Channel
	for range 20_000 {
		switch op := chance.IntN(4); {
		case op < 2 && len(all) < 200:
			c := &Channel{timing: timing{due: chance.Int64N(1000)}}
			h.push(c)
			all = append(all, c)
		case op == 2 && len(all) > 0:
			i := chance.IntN(len(all))
			h.remove(all[i])
			h.remove(all[i]) // nothing more
			all = slices.Delete(all, i, i+1)
		case len(all) > 0:
			c := all[chance.IntN(len(all))]
			c.due -= chance.Int64N(100)
			h.up(c.place)
			h[0].due += chance.Int64N(100)
			h.down(1)
		}
		least := slices.MinFunc(append(all, &Channel{timing: timing{due: never}}), func(a, b *Channel) int { return cmp.Compare(a.due, b.due) })
		if len(h) != len(all) || len(h) > 0 && h[0].due != least.due {
			t.Fatalf("the first of %d is due at %d, want %d", len(h), h[0].due, least.due)
		}
	}
}
