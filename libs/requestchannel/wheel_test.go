package requestchannel

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWheelAgainstAModel: whatever is added, moved and removed, each request
// expires once, never before its deadline and at most two steps after it.
func TestWheelAgainstAModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		alive := map[*Pending]bool{}
		now := int64(time.Hour) // the clock does not start at 0
		w.expire(now, func(*Pending) { t.Fatal("expired out of nothing") })
		for range 3000 {
			switch r.IntN(4) {
			case 0, 1:
				p := &Pending{slot: -1, deadline: now + r.Int64N(int64(100*time.Second))}
				w.add(p)
				alive[p] = true
			case 2:
				for p := range alive {
					w.remove(p)
					if r.IntN(2) == 0 {
						p.deadline = now + r.Int64N(int64(10*time.Second))
						w.add(p)
					} else {
						delete(alive, p)
					}
					break
				}
			case 3:
				now += r.Int64N(int64(time.Second))
				w.expire(now, func(p *Pending) {
					if !alive[p] || p.deadline > now {
						t.Fatalf("seed %d: expired early or twice", seed)
					}
					delete(alive, p)
				})
				for p := range alive {
					if p.deadline < now-2*wheelStep {
						t.Fatalf("seed %d: overdue by %s", seed, time.Duration(now-p.deadline))
					}
				}
			}
			if w.count != len(alive) {
				t.Fatalf("seed %d: count %d of %d", seed, w.count, len(alive))
			}
		}
	}
}
