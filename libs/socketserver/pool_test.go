package socketserver

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// 5.2 #12: with the less loaded of two the fullest processor is hardly fuller than the mean; with one choice by chance
// it is many times further above it (the power of two choices).
func TestTwoChoicesSpreadEvenly(t *testing.T) {
	const processors, connections = 32, 32 * 200
	spread := func(choose func(loads []float64, chance *rand.Rand) int) float64 {
		worst := 0.0
		for seed := range uint64(20) {
			chance, loads := rand.New(rand.NewPCG(seed, 1)), make([]float64, processors)
			for range connections {
				loads[choose(loads, chance)]++
			}
			for _, l := range loads {
				worst = max(worst, l-connections/processors)
			}
		}
		return worst
	}
	one := spread(func(_ []float64, chance *rand.Rand) int { return chance.IntN(processors) })
	two := spread(func(loads []float64, chance *rand.Rand) int {
		return lessLoaded(len(loads), chance.IntN, func(i int) float64 { return loads[i] })
	})
	if two > 5 || one < 4*two {
		t.Fatalf("above the mean: %v with one choice, %v with two", one, two)
	}
}

func TestLessLoadedComparesTwoDifferentOnes(t *testing.T) {
	for n := 2; n < 10; n++ {
		chosen := map[int]int{}
		for range 1000 {
			var asked []int
			i := lessLoaded(n, rand.IntN, func(i int) float64 { asked = append(asked, i); return float64(i) })
			if len(asked) != 2 || asked[0] == asked[1] || i != min(asked[0], asked[1]) || max(asked[0], asked[1]) >= n {
				t.Fatalf("chose %d of %v, out of %d", i, asked, n)
			}
			chosen[i]++
		}
		if len(chosen) != n-1 || chosen[n-1] > 0 { // the fullest never wins
			t.Fatalf("chosen of %d: %v", n, chosen)
		}
	}
}

func TestBusyLoopsCountMore(t *testing.T) {
	second := int64(time.Second)
	for _, c := range []struct {
		name   string
		waited int64
		want   float64
	}{{"idle", second, 0}, {"at work", 0, 1}, {"half", second / 2, 0.5}, {"clocks that disagree", 2 * second, 0}} {
		var b busyness
		if got := b.ratio(second-1, c.waited); got != 0 {
			t.Errorf("%s: %v before a second is over", c.name, got)
		}
		if got := b.ratio(second, c.waited); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if got := b.ratio(second+1, second+c.waited); got != c.want {
			t.Errorf("%s: asked again at once: %v", c.name, got)
		}
	}
}

func newIdle(t *testing.T, processors int, assignment Assignment) *Server {
	t.Helper()
	s, err := New(Config{Assignment: assignment, Listeners: []ListenerConfig{{Name: "TEST", Processors: processors}}}, deaf{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// countOnly takes a processor's sockets away again: they are none.
func (p *Processor) countOnly() (n int) {
	p.doors.mu.Lock()
	defer p.doors.mu.Unlock()
	n, p.accepted = len(p.accepted), nil
	return n
}

// C5: each in turn, from a place that is kept; a full one is passed over, and the place moves on with every try.
func TestAssignmentGoesRound(t *testing.T) {
	s := newIdle(t, 3, RoundRobin)
	pool, next := s.acceptors[0].pool, uint(0)
	for i := range 3 * newConnectionQueue {
		if !pool.assign(&next, socket{}) {
			t.Fatalf("no room for socket %d", i)
		}
	}
	if pool.assign(&next, socket{}) {
		t.Fatal("room in full queues")
	}
	ps := pool.processors()
	for _, p := range ps {
		if n := p.Open(); n != newConnectionQueue {
			t.Fatalf("processor %d has %d", p.id, n)
		}
	}
	ps[1].countOnly()
	if next = 2; !pool.assign(&next, socket{}) || next != 2 || ps[1].countOnly() != 1 {
		t.Fatalf("the next place is %d", next)
	}
	for _, p := range ps {
		p.countOnly()
	}
}

// C5, KAFKA-16768: whatever the order of assigning and resizing, each socket ends with a processor that is there, and an
// ended one takes none.
func TestAssignmentWhileTheCountChanges(t *testing.T) {
	for _, assignment := range []Assignment{RoundRobin, LeastLoadedOfTwo} {
		s := newIdle(t, 4, assignment)
		pool, next := s.acceptors[0].pool, uint(0)
		chance := rand.New(rand.NewPCG(uint64(assignment), 0))
		for range 500 {
			before := pool.processors()
			n := 1 + chance.IntN(6)
			if err := s.Resize("TEST", n); err != nil {
				t.Fatal(err)
			}
			for range chance.IntN(n * newConnectionQueue) {
				if !pool.assign(&next, socket{}) {
					t.Fatal("no room")
				}
			}
			for i, p := range before {
				if i >= n && (p.accept(socket{}) || p.handOn([]socket{{}}, nil)) {
					t.Fatal("an ended processor took a socket")
				}
			}
			for _, p := range pool.processors() {
				p.countOnly()
			}
		}
	}
}

// W3, KAFKA-16768: a socket that comes to a processor without connections that retires is handed on, and then the loop
// ends instead of waiting for an event that never comes.
func TestRetiringLoopEndsAfterALateSocket(t *testing.T) {
	s := newIdle(t, 2, RoundRobin)
	pool := s.acceptors[0].pool
	stays, retires := pool.processors()[0], pool.processors()[1]
	if !retires.accept(socket{}) {
		t.Fatal("no room")
	}
	pool.set([]*Processor{stays})
	retires.order(orders{retire: true})
	if !retires.openDoors() {
		t.Fatal("ended with a socket in its hands")
	}
	retires.configureNewConnections()
	if d := retires.timeout(); d != 0 {
		t.Fatalf("the loop would sleep for %v", d)
	}
	if retires.openDoors() || stays.countOnly() != 1 || retires.accept(socket{}) {
		t.Fatal("the loop goes on, or the socket is lost")
	}
}

// W3: a processor that is told to retire is no longer in the list, else it could hand its connections to itself.
func TestNobodyRetiresWhileInTheList(t *testing.T) {
	s := newIdle(t, 3, RoundRobin)
	pool, told := s.acceptors[0].pool, 0
	all := pool.processors()
	for _, p := range all[1:] {
		p.doors.wake = func() {
			if told++; slices.Contains(pool.processors(), p) {
				t.Errorf("processor %d retires while it may be chosen", p.id)
			}
		}
	}
	s.started = true
	s.shrink(s.acceptors[0], 1)
	if s.started = false; told != 2 {
		t.Fatalf("%d were told", told)
	}
	s.drop(all[1:])
}

// A listener whose processors cannot be made leaves nothing: not in the request channel, not a descriptor's number.
func TestProcessorThatIsRefusedLeavesNothing(t *testing.T) {
	s := newIdle(t, 1, RoundRobin)
	s.rc = refusing{left: new(int)}
	if err := s.Resize("TEST", 5); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if err := s.AddListener(ListenerConfig{Name: "MORE", Processors: 5}); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if n := len(s.Processors()); n != 1 || len(s.acceptors) != 1 || len(s.quotas.listeners) != 1 || len(s.acceptors[0].pool.processors()) != 1 {
		t.Fatalf("%d processors, %d listeners, %d quotas", n, len(s.acceptors), len(s.quotas.listeners))
	}
	if *s.rc.(refusing).left != 0 {
		t.Fatalf("%d processors are with the request channel", *s.rc.(refusing).left)
	}
}

var errRefused = errors.New("refused")

// refusing takes two processors more.
type refusing struct {
	deaf
	left *int
}

func (r refusing) AddProcessor(*Processor) error {
	if *r.left == 2 {
		return errRefused
	}
	*r.left++
	return nil
}

func (r refusing) RemoveProcessor(int) { *r.left-- }

// Ids rise and come again only after all others: what is late for a processor that is gone never meets another.
func TestProcessorIDsComeAgainLast(t *testing.T) {
	var r registry
	make := func(id int) (*Processor, error) { return &Processor{id: id}, nil }
	first, _ := r.add(make)
	seen := map[int]bool{first.id: true}
	for range mostProcessors - 1 {
		p, err := r.add(make)
		if err != nil || seen[p.id] {
			t.Fatalf("id %d again, %v", p.id, err)
		}
		seen[p.id] = true
		r.remove(p)
	}
	if p, err := r.add(make); err != nil || p.id != 1 { // 0 is still in use
		t.Fatal(p.id, err)
	}
}
