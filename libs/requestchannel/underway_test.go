package requestchannel

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/protocol"
)

// However requests come and go, count and oldest are those of a plain list.
func TestUnderWayAgainstAList(t *testing.T) {
	var u underWay
	var model []*Pending
	for step := range 20000 {
		if len(model) == 0 || rand.IntN(100) < 51 {
			p := &Pending{received: int64(step) - rand.Int64N(10)} // nearly in order
			u.add(p)
			model = append(model, p)
		} else {
			i := rand.IntN(len(model))
			u.remove(model[i])
			model = slices.Delete(model, i, i+1)
		}
		if int(u.count.Load()) != len(model) {
			t.Fatalf("count %d of %d", u.count.Load(), len(model))
		}
		if len(model) == 0 {
			continue
		}
		oldest := slices.MinFunc(model, func(a, b *Pending) int { return int(a.received - b.received) })
		if u.since.Load() != oldest.received || u.oldest.received != oldest.received {
			t.Fatalf("oldest %d and %d, want %d", u.since.Load(), u.oldest.received, oldest.received)
		}
	}
	n := 0
	for p := u.oldest; p != nil; p = p.newer {
		n++
	}
	if n != len(model) {
		t.Fatalf("%d in the list, want %d", n, len(model))
	}
}

// A request that nobody answers is seen long before it ends: in flight, and growing old.
func TestOldestAge(t *testing.T) {
	now := int64(5e9)
	reg := prometheus.NewRegistry()
	c := &Channel{cfg: ChannelConfig{Budget: unbounded{}, Metrics: NewChannelMetrics(reg), Now: func() int64 { return now }}}
	c.dispatcher.init(c)
	c.Watch(reg)
	stuck := &Pending{Request: Request{ID: 1, APIKey: protocol.Produce}, route: c.dispatcher.routes.get("records"), received: 2e9, slot: -1}
	c.dispatcher.begin(stuck)
	if age, n := sum(t, reg, "kanal_request_oldest_age_seconds", "Produce"), sum(t, reg, "kanal_requests_in_flight", "Produce"); age != 3 || n != 1 {
		t.Fatalf("%v s old, %v in flight", age, n)
	}
	c.dispatcher.finish(stuck).Done(TimedOut, now, 0)
	if age, n := sum(t, reg, "kanal_request_oldest_age_seconds"), sum(t, reg, "kanal_requests_in_flight"); age != 0 || n != 0 {
		t.Fatalf("%v s old, %v in flight after the end", age, n)
	}
}
