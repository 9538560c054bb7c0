package requestchannel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kanal/libs/admin"
	"kanal/libs/protocol"
)

// watched is a dispatcher with two instances, driven by the test itself.
func watched(t *testing.T) (*dispatcher, []*instance) {
	t.Helper()
	c := &Channel{cfg: ChannelConfig{FrontEnd: "F", Budget: unbounded{}, PrivilegedBudget: unbounded{}, ResponseMaxBytes: 1 << 30, Metrics: newChannelMetrics(), ParkedMaxBytes: 1 << 30}}
	c.dispatcher.init(c)
	d := &c.dispatcher
	var all []*instance
	for _, id := range []string{"A", "B"} {
		i := &instance{id: id, service: d.routes.get("records").service, state: StateReady, share: 1000}
		d.instances[id] = i
		all = append(all, i)
	}
	return d, all
}

// Whatever comes, is given out, parks and ends: what is told of instances and of
// the oldest requests is what a plain list says.
func TestLoadAgainstAList(t *testing.T) {
	d, instances := watched(t)
	keys := []protocol.APIKey{protocol.Fetch, protocol.Produce}
	var model []*Pending
	for step := range int64(3000) {
		d.now = step + 100
		switch n := len(model); {
		case n == 0 || rand.IntN(5) < 2:
			p := &Pending{Request: Request{ID: uint64(step), APIKey: keys[rand.IntN(2)], Token: uint64(step)}, route: d.routes.get("records"), received: step * 1e9, slot: -1, size: 1}
			d.begin(p)
			model = append(model, p)
		case rand.IntN(3) == 0:
			p := model[rand.IntN(n)]
			if p.state == queued {
				p.state, p.instance, p.dispatched = outstanding, instances[rand.IntN(2)], d.now
				p.instance.took(p)
			} else if p.state == outstanding {
				d.park(p, time.Minute)
			}
		case rand.IntN(3) < 2:
			i := rand.IntN(n)
			d.finish(model[i])
			model = slices.Delete(model, i, i+1)
		}
		d.now = 4000e9
		if step%50 == 0 {
			checkLoad(t, d, model)
			checkOldest(t, d, model)
		}
	}
}

func checkLoad(t *testing.T, d *dispatcher, model []*Pending) {
	t.Helper()
	want := map[string]*admin.Handler{"A": {}, "B": {}}
	for _, p := range model {
		if p.instance == nil {
			continue
		}
		w := want[p.instance.id]
		if p.state == outstanding {
			w.Outstanding++
		} else {
			w.Parked++
			w.OldestParkedSeconds = max(w.OldestParkedSeconds, atLeast0(d.now-p.received).Seconds())
		}
	}
	for _, h := range d.load().Handlers {
		if w := want[h.ID]; h.Outstanding != w.Outstanding || h.Parked != w.Parked || h.OldestParkedSeconds != w.OldestParkedSeconds || h.Window != 1000 || h.Service != "records" {
			t.Fatalf("told %+v, want %+v", h, *w)
		}
	}
}

func checkOldest(t *testing.T, d *dispatcher, model []*Pending) {
	t.Helper()
	names := map[pendingState]string{queued: "queued", outstanding: "handler", parked: "parked"}
	for _, only := range []string{"", "parked", "queued"} {
		var want []string
		sorted := slices.Clone(model)
		slices.SortFunc(sorted, func(a, b *Pending) int { return int(a.received - b.received) })
		for _, p := range sorted {
			if only == "" || names[p.state] == only {
				want = append(want, fmt.Sprint(p.APIKey, names[p.state], atLeast0(d.now-p.received).Seconds()))
			}
		}
		var got []string
		for _, r := range d.oldest(5, func(r *admin.Request) bool { return only == "" || r.Where == only }) {
			got = append(got, fmt.Sprint(r.API, r.Where, r.AgeSeconds))
		}
		if want = want[:min(5, len(want))]; !slices.Equal(got, want) {
			t.Fatalf("%q: told %v, want %v", only, got, want)
		}
	}
}

// Whoever asks a channel that does not dispatch is told so, and does not wait.
func TestAskWithoutDispatcher(t *testing.T) {
	d, _ := watched(t)
	if _, err := d.c.Load(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
	d.c.running.Store(true) // and stuck
	d.c.inbox.wakeup = make(chan struct{}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.c.Oldest(ctx, 1, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
