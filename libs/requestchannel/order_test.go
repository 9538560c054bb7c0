package requestchannel

import (
	"math/rand/v2"
	"slices"
	"testing"

	"kanal/libs/protocol"
)

// Ordered requests of a connection go one after the other, the others at once, and all are let go in the end, whichever
// are answered first.
func TestOrderedRequestsGoOneAfterTheOther(t *testing.T) {
	c := &Channel{cfg: ChannelConfig{QueuedMaxRequests: 100, QueuedMaxBytes: 1 << 20, Budget: unbounded{}, PrivilegedBudget: unbounded{}, Metrics: newChannelMetrics()}}
	c.dispatcher.init(c)
	d := &c.dispatcher
	r := d.routes.get("records")
	if !r.orders(&Pending{Request: Request{APIKey: protocol.Fetch}}) {
		t.Fatal("not ordered before an instance has said what is")
	}
	r.service.meet(&Handler{Ordered: []protocol.APIKey{protocol.Produce}})
	chance := rand.New(rand.NewPCG(5, 6))
	under := map[uint64][]*Pending{} // by connection, in their order
	for range 20000 {
		conn := uint64(chance.IntN(3))
		if mine := under[conn]; chance.IntN(2) == 0 && len(mine) < 8 {
			p := &Pending{Request: Request{Token: conn, APIKey: []protocol.APIKey{protocol.Produce, protocol.Fetch}[chance.IntN(2)]}, route: r, slot: -1}
			first := !slices.ContainsFunc(mine, func(o *Pending) bool { return o.ordered })
			waits := d.link(p)
			if waits != (p.APIKey == protocol.Produce && !first) {
				t.Fatalf("%s waits: %t, first: %t", p.APIKey, waits, first)
			}
			if p.state = outstanding; waits {
				p.state = held
			}
			under[conn] = append(mine, p)
		} else if at := chance.IntN(8); at < len(mine) && mine[at].state != held {
			p := mine[at]
			under[conn] = slices.Delete(mine, at, at+1)
			d.unlink(p)
			if p.ordered {
				next := slices.IndexFunc(under[conn], func(o *Pending) bool { return o.ordered })
				if next >= 0 {
					if o := under[conn][next]; o.state != queued {
						t.Fatal("the next ordered request still waits")
					} else {
						r.leave(o)
						o.state = outstanding
					}
				}
			}
		}
		for _, mine := range under {
			n := 0
			for _, p := range mine {
				if p.ordered && p.state != held {
					n++
				}
			}
			if n > 1 {
				t.Fatalf("%d ordered requests of one connection under way", n)
			}
		}
	}
	for conn, mine := range under {
		for _, p := range mine {
			d.unlink(p)
			if p.state == queued {
				r.leave(p)
			}
		}
		if d.byConn[connKey{0, conn}] != nil {
			t.Fatal("something is left")
		}
	}
}
