package requestchannel

import (
	"sync/atomic"

	"kanal/libs/protocol"
)

// ParkedGrant is the most that the answer of a long poll may have, in bytes,
// once it is parked. One that has more to say then is given back, with NotTaken,
// and dispatched again with a grant of its own: ten thousand that wake up at
// once do not bring ten thousand answers at once.
const ParkedGrant = 16 << 10

const (
	leastGrant     = 4 << 10  // of a request whose answers are small
	leastBulkGrant = 1 << 20  // of a fetch: a batch of the usual largest size
	mostGrant      = 64 << 20 // of one request
	// mostOnTheWay bounds what is granted to requests whose answers have not
	// arrived, those of long polls apart: a NATS server closes connections for
	// which it holds 64 MiB.
	mostOnTheWay = 32 << 20
	// mostParked bounds what parked long polls are granted, in all; beyond it they
	// have none. It must not exceed an eighth of the budget either.
	mostParked = 16 << 20
)

// grants divide the response budget among the requests under way, so that their
// sum never exceeds it. A request has its grant from its dispatch until its
// answer has arrived, and from then what the answer has, until that is with the
// socket. One that there is nothing left for waits in its queue.
//
// Fetch keeps to what it is granted, and gets as much as is to be had. The others
// answer what they have to: they are granted what their api's answers have had
// lately. An answer that is larger all the same counts when it is here, and others
// wait for it.
type grants struct {
	limit int64
	used  atomic.Int64

	wanted atomic.Bool // the dispatcher waits for some to be given back
	wake   func()

	// owned by the dispatcher
	onTheWay int64
	parked   int64
}

// of is what p may be granted now, 0 if it has to wait.
func (g *grants) of(p *Pending) int64 {
	n := g.look(p)
	if n == 0 {
		g.wanted.Store(true)
		n = g.look(p) // some may have come back before the flag; nobody would tell
	}
	return n
}

// look leaves an eighth of the budget to other requests than fetches, and the
// half of that to those of privileged listeners: they never wait for slow readers.
func (g *grants) look(p *Pending) int64 {
	free, way := g.limit-g.used.Load(), mostOnTheWay-g.onTheWay
	switch {
	case p.APIKey == protocol.Fetch:
		free = min(free-g.limit/8, way)
		n := min(max(free/4, g.leastBulk()), mostGrant)
		if n > free {
			return 0
		}
		return n
	case !p.Privileged:
		free -= g.limit / 16
	}
	n := min(max(p.metrics.answers, leastGrant), g.limit/4, mostOnTheWay/2)
	if n > free || n > way && !p.Privileged {
		return 0
	}
	return n
}

func (g *grants) leastBulk() int64 { return min(leastBulkGrant, g.limit/16) }

// take grants p n bytes, and decides what it keeps when it is parked.
func (g *grants) take(p *Pending, n int64) {
	p.Granted, p.NothingParked = uint32(n), g.parked+ParkedGrant > min(mostParked, g.limit/8)
	g.hold(p, n)
	p.onTheWay = n
	g.onTheWay += n
}

// park leaves p what it may be answered with as a long poll.
func (g *grants) park(p *Pending) {
	keep := min(p.granted, ParkedGrant)
	if p.NothingParked {
		keep = 0
	}
	g.arrive(p)
	g.hold(p, keep)
	p.parkedGrant = keep
	g.parked += keep
}

// settle replaces what p was granted by what its answer has; 0 for none.
func (g *grants) settle(p *Pending, size int) {
	g.arrive(p)
	g.hold(p, int64(size))
}

// arrive ends the way of p's answer.
func (g *grants) arrive(p *Pending) {
	g.onTheWay -= p.onTheWay
	g.parked -= p.parkedGrant
	p.onTheWay, p.parkedGrant = 0, 0
}

func (g *grants) hold(p *Pending, n int64) {
	d := n - p.granted
	p.granted = n
	g.change(d)
}

func (g *grants) change(n int64) {
	if n == 0 {
		return
	}
	g.used.Add(n)
	if n < 0 && g.wanted.Load() && g.wanted.CompareAndSwap(true, false) {
		g.wake()
	}
}

// learn follows how large an api's answers are: up at once, down slowly.
func (a *apiMetrics) learn(size int64) {
	if a.answers -= (a.answers - size) / 64; size > a.answers {
		a.answers = size
	}
}
