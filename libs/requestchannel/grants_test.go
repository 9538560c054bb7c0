package requestchannel

import (
	"math/rand/v2"
	"testing"

	"kanal/libs/protocol"
)

// Whatever is granted, parked, answered and written, in whatever order: the sum never exceeds the budget as long as
// handlers keep to their grants, what is on its way never exceeds its bound, and in the end nothing is left.
func TestGrantsNeverExceedTheBudget(t *testing.T) {
	for _, limit := range []int64{1 << 20, 16 << 20, 256 << 20} {
		chance := rand.New(rand.NewPCG(uint64(limit), 1))
		g := &grants{limit: limit, wake: func() {}}
		var under, written []*Pending
		small := &apiMetrics{}
		check := func() {
			if n := g.used.Load(); n < 0 || n > limit || g.onTheWay > mostOnTheWay || g.parked > min(mostParked, limit/8) {
				t.Fatalf("%d of %d used, %d on the way, %d parked", n, limit, g.onTheWay, g.parked)
			}
		}
		waited := 0
		for range 20000 {
			switch n := chance.IntN(8); {
			case n < 4:
				p := &Pending{metrics: small}
				if p.APIKey = protocol.Heartbeat; n < 3 {
					p.APIKey = protocol.Fetch
				}
				grant := g.of(p)
				if grant == 0 {
					waited++
					continue
				}
				g.take(p, grant)
				under = append(under, p)
			case n == 4 && len(under) > 0:
				if p := under[chance.IntN(len(under))]; p.state != parked {
					p.state = parked
					g.park(p)
				}
			case n < 7 && len(under) > 0:
				at := chance.IntN(len(under))
				p := under[at]
				under[at] = under[len(under)-1]
				under = under[:len(under)-1]
				g.settle(p, int(chance.Int64N(p.granted+1)))
				written = append(written, p)
			case len(written) > 0:
				p := written[len(written)-1]
				written = written[:len(written)-1]
				g.change(-p.granted)
			}
			check()
		}
		for _, p := range append(under, written...) {
			g.settle(p, 0)
		}
		if g.used.Load() != 0 || g.onTheWay != 0 || g.parked != 0 || waited == 0 {
			t.Fatalf("%d, %d, %d left; %d had to wait", g.used.Load(), g.onTheWay, g.parked, waited)
		}
	}
}

// Fetches that have used up what they may leave room for heartbeats, and these for privileged requests.
func TestGrantsAreKeptForTheOthers(t *testing.T) {
	g := &grants{limit: 16 << 20, wake: func() {}}
	use := func(p *Pending) (n int) {
		for grant := g.of(p); grant > 0 && n < 1e6; grant = g.of(p) {
			q := *p
			g.take(&q, grant)
			g.onTheWay = 0
			n++
		}
		return n
	}
	m := &apiMetrics{}
	fetches := use(&Pending{Request: Request{APIKey: protocol.Fetch}, metrics: m})
	heartbeats := use(&Pending{Request: Request{APIKey: protocol.Heartbeat}, metrics: m})
	privileged := use(&Pending{Request: Request{APIKey: protocol.Heartbeat, Privileged: true}, metrics: m})
	if fetches == 0 || heartbeats < 200 || privileged < 200 {
		t.Errorf("%d fetches, %d heartbeats, %d privileged", fetches, heartbeats, privileged)
	}
}

// Who waits is woken once something is given back, once.
func TestGrantsWake(t *testing.T) {
	woken := 0
	g := &grants{limit: 1 << 20, wake: func() { woken++ }}
	g.used.Store(1 << 20)
	p := &Pending{Request: Request{APIKey: protocol.Fetch}}
	if g.of(p) != 0 {
		t.Fatal("granted beyond the budget")
	}
	g.change(-1)
	g.change(-1)
	if woken != 1 {
		t.Fatalf("woken %d times", woken)
	}
}

// What an api's answers are expected to have follows them.
func TestGrantsFollowAnswers(t *testing.T) {
	a := new(apiMetrics)
	a.learn(5 << 20)
	if a.answers != 5<<20 {
		t.Fatal(a.answers)
	}
	for range 1000 {
		a.learn(100)
	}
	if a.answers > 4<<10 {
		t.Fatal(a.answers)
	}
}
