package socketserver

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// Assignment says which processor of its listener a new connection goes to.
type Assignment uint8

const (
	RoundRobin       Assignment = iota // each in turn (C5)
	LeastLoadedOfTwo                   // of two that chance picks, the one with less to do
)

// pool is the processors of one listener that take connections.
type pool struct {
	assignment Assignment
	// room holds a token when a queue may have room again, or the list has changed: an acceptor that waits tries anew.
	room chan struct{}
	list atomic.Pointer[[]*Processor] // replaced as a whole, never empty once the listener is made
}

func newPool(assignment Assignment) *pool {
	p := &pool{assignment: assignment, room: make(chan struct{}, 1)}
	p.list.Store(new([]*Processor))
	return p
}

func (l *pool) processors() []*Processor { return *l.list.Load() }

func (l *pool) set(ps []*Processor) {
	l.list.Store(&ps)
	l.tellRoom()
}

func (l *pool) tellRoom() {
	select {
	case l.room <- struct{}{}:
	default:
	}
}

// assign offers a socket to the processors, to the preferred one first and then to those after it; false when none has
// room. next is the caller's place in the round (C5).
func (l *pool) assign(next *uint, s socket) bool {
	ps := l.processors()
	for first, tries := l.first(ps, *next), 0; tries < len(ps); tries++ {
		at := (first + tries) % len(ps)
		*next = uint(at) + 1
		if p := ps[at]; p.accept(s) {
			p.open.Add(1)
			return true
		}
	}
	return false
}

// handOn gives a socket or a connection of a processor that retires to another, whatever room there is.
func (l *pool) handOn(from *Processor, s []socket, m []moving) {
	for {
		ps := l.processors()
		to := ps[l.first(ps, from.round)]
		from.round++
		if to.handOn(s, m) {
			from.open.Add(-1)
			to.open.Add(1)
			return
		}
		// Either it has retired and ended since we looked, and the list is without it; or everything ends.
		if slices.Contains(l.processors(), to) {
			from.turnAway(s, m)
			return
		}
	}
}

// first is the processor to begin with.
func (l *pool) first(ps []*Processor, next uint) int {
	if l.assignment == RoundRobin || len(ps) == 1 {
		return int(next % uint(len(ps)))
	}
	return lessLoaded(len(ps), rand.IntN, func(i int) float64 { return ps[i].load() })
}

// lessLoaded picks two of n at random and gives the one with the lower load: with one look at each of two the fullest
// is hardly fuller than the mean, while with one choice it grows with the number of connections (the power of two
// choices).
func lessLoaded(n int, random func(int) int, load func(int) float64) int {
	a, b := random(n), random(n-1)
	if b >= a {
		b++
	}
	if load(b) < load(a) {
		return b
	}
	return a
}

// Open is how many connections the processor has, those on their way to it included. Any goroutine may call it.
func (p *Processor) Open() int { return int(p.open.Load()) }

// load is what a processor has to do: its connections, which count twice where its loop is at work all the time.
func (p *Processor) load() float64 {
	return float64(p.Open()+1) * (1 + p.busy.ratio(Now(), int64(p.sel.Waited())))
}

// busyness is how much of the time a loop was at work: of the last second, or since somebody asked last.
type busyness struct {
	asked, waited atomic.Int64
	last          atomic.Uint64 // bits of a float64
}

// ratio is between 0 and 1; waited is how long the loop has slept in all.
func (b *busyness) ratio(now, waited int64) float64 {
	asked := b.asked.Load()
	if passed := now - asked; passed >= int64(time.Second) && b.asked.CompareAndSwap(asked, now) {
		slept := waited - b.waited.Swap(waited)
		b.last.Store(math.Float64bits(min(max(1-float64(slept)/float64(passed), 0), 1)))
	}
	return math.Float64frombits(b.last.Load())
}
