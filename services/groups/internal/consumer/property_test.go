package consumer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Members come, go, die, come back and are slow; requests and answers get lost;
// topics change; the holder changes at any moment. No partition is ever read by
// two members, nobody's epoch goes back, and when the noise ends everything that
// somebody reads is with exactly one reader, evenly.
func TestNoPartitionHasTwoReaders(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			w := newWorld(t, "a", "b")
			var live []*client
			next := 0
			for range 300 {
				live = w.noise(r, live, &next)
				if _, err := shares(live...); err != nil {
					t.Fatal(err)
				}
			}
			if len(live) == 0 {
				return
			}
			w.tick(time.Hour) // who died is forgotten, and so is everybody else
			for _, c := range live {
				c.take(Answer{Err: kerr.UnknownMemberID})
			}
			w.settle(live...)
			w.requireComplete(live)
		})
	}
}

// noise is one random event.
func (w *world) noise(r *rand.Rand, live []*client, next *int) []*client {
	if len(live) == 0 || r.IntN(30) == 0 && len(live) < 8 {
		*next++
		c := w.client(fmt.Sprint("m", *next), []string{"a", "b", "c"}[:1+r.IntN(3)]...)
		if r.IntN(3) == 0 {
			instance := fmt.Sprint("i", *next)
			c.instance = &instance
		}
		if r.IntN(4) == 0 {
			regex := "a|c"
			c.regex = &regex
		}
		return append(live, c)
	}
	i := r.IntN(len(live))
	c := live[i]
	switch n := r.IntN(100); {
	case n < 60:
		before := c.epoch
		q := c.request()
		if r.IntN(3) == 0 && c.epoch > 0 { // nothing new
			q.HasOwned, q.Owned, q.Topics, q.Rebalance = false, nil, nil, -1
		}
		if r.IntN(10) == 0 { // the request is lost
			return live
		}
		a := w.heartbeat(q)
		if r.IntN(10) == 0 { // the answer is
			return live
		}
		if a.Err == nil && a.Epoch < before {
			w.t.Fatalf("%s went from epoch %d to %d", c.id, before, a.Epoch)
		}
		c.take(a)
	case n < 85:
		c.follow()
	case n < 88: // leaves
		if c.epoch > 0 {
			w.heartbeat(&Heartbeat{MemberID: c.id, Epoch: LeaveEpoch, InstanceID: c.instance})
		}
		return append(live[:i:i], live[i+1:]...)
	case n < 91: // restarts: a static one says so, and has another id afterwards
		if c.instance != nil && c.epoch > 0 {
			w.heartbeat(&Heartbeat{MemberID: c.id, Epoch: StaticLeaveEpoch, InstanceID: c.instance})
			*next++
			c.id = fmt.Sprint("m", *next)
		}
		c.epoch, c.owned, c.wanted = JoinEpoch, nil, nil
	case n < 94:
		w.topics.set([]string{"a", "b", "c"}[r.IntN(3)], int32(r.IntN(9)))
	case n < 97:
		w.move()
	default:
		w.tick(time.Duration(r.IntN(30)) * time.Second)
		for _, c := range live { // whoever is gone notices by its own clock
			if w.g.members[c.id] == nil {
				c.epoch, c.owned, c.wanted = JoinEpoch, nil, nil
			}
		}
	}
	return live
}

func (w *world) requireComplete(live []*client) {
	w.t.Helper()
	got, err := shares(live...)
	if err != nil {
		w.t.Fatal(err)
	}
	read := make(map[string]bool)
	for _, c := range live {
		for _, name := range c.topics {
			read[name] = true
		}
		if c.regex != nil {
			read["a"], read["c"] = true, true
		}
	}
	want, sum := 0, 0
	for name := range read {
		want += int(w.topics.topics[name])
	}
	for _, n := range got {
		sum += n
	}
	if sum != want {
		w.t.Fatalf("%d partitions are read of %d: %v", sum, want, got)
	}
	for _, c := range live { // what is read, and nothing else, is assigned
		if !c.owned.Equal(w.g.members[c.id].target) {
			w.t.Fatalf("%s reads %v, its target is %v", c.id, c.owned, w.g.members[c.id].target)
		}
	}
}
