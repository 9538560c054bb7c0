package requestchannel

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rc "kanal/libs/requestchannel"
)

// offerAs submits a frame of a client, on a connection of its own.
func (f *frontEnd) offerAs(client uint32, privileged bool, frame string) (token uint64, ok bool) {
	f.token++
	call := rc.Call{Route: f.Route("work"), Token: f.token, Client: client, Privileged: privileged, APIKey: -1, Origin: f.origin, Frame: []byte(frame), Received: now()}
	ok = f.Submit(&call)
	f.Flush(0)
	return f.token, ok
}

// Ten thousand long polls do not close a window of 128, and neither do they keep the queue.
func TestTenThousandParkedRequests(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	wake := make(chan struct{})
	var parked atomic.Int64
	newInstance(t, url, "work", func(c *rc.ServerConfig) { c.Window = 128 }, func(i *instance, in *rc.Incoming) {
		if string(in.Frame) == "wait" {
			in.Park(time.Minute)
			parked.Add(1)
			select {
			case <-wake:
			case <-in.Done():
			}
		}
		echo(i, in)
	})
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.RequestTimeout, c.ParkedMaxBytes = time.Minute, 64<<20 })
	const polls = 10000
	for n := range polls {
		eventually(t, "room in the queue", func() bool { _, ok := f.offerAs(uint32(n), false, "wait"); return ok })
	}
	eventually(t, "all polls wait in the handler", func() bool { return parked.Load() == polls })
	token, ok := f.offerAs(0, false, "now")
	if !ok {
		t.Fatal("refused")
	}
	if o := f.answer(t, token); string(o.Frame) != "now" {
		t.Fatalf("%+v", o)
	}
	close(wake)
	eventually(t, "all are answered", func() bool { return f.InFlight() == 0 })
}

// A client that fills what it may have of a queue does not keep another from its turn: that one is served after a few
// of the first's, not after all.
func TestClientsHaveTheirTurns(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	var mu sync.Mutex
	var order []string
	gate := make(chan struct{})
	i := newInstance(t, url, "work", func(c *rc.ServerConfig) { c.Window = 1 }, func(i *instance, in *rc.Incoming) {
		<-gate
		mu.Lock()
		order = append(order, string(in.Frame))
		mu.Unlock()
		echo(i, in)
	})
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.QueuedMaxRequests = 100 })
	many := 0
	for ; ; many++ {
		if _, ok := f.offerAs(1, false, "many"); !ok {
			break
		}
	}
	eventually(t, "the window is closed", func() bool { return i.taken.Load() == 1 })
	few, ok := f.offerAs(2, false, "few")
	if !ok {
		t.Fatal("no room for a second client")
	}
	close(gate)
	f.answer(t, few)
	mu.Lock()
	defer mu.Unlock()
	if len(order) > 5 || many < 50 {
		t.Fatalf("served after %d of %d requests of the other client", len(order)-1, many)
	}
}

// A control plane: its requests are dispatched at once when the clients' window is closed and their queue full.
func TestPrivilegedRequestsPassAFullQueue(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	release := make(chan struct{})
	i := newInstance(t, url, "work", func(c *rc.ServerConfig) { c.Window = 8 }, func(i *instance, in *rc.Incoming) {
		if !in.Privileged {
			<-release
		}
		echo(i, in)
	})
	f := newFrontEnd(t, url, func(c *rc.ChannelConfig) { c.QueuedMaxRequests = 20 })
	first, _ := f.offerAs(9, true, "first")
	f.answer(t, first) // from now on a part of the window is kept
	var tokens []uint64
	for client := uint32(0); client < 1000; client++ {
		if token, ok := f.offerAs(client, false, "data"); ok {
			tokens = append(tokens, token)
		}
	}
	eventually(t, "the clients have their part of the window", func() bool { return i.taken.Load() == 1+7 })
	for client := uint32(0); client < 1000; client++ {
		if token, ok := f.offerAs(client, false, "data"); ok {
			tokens = append(tokens, token)
		}
	}
	if _, ok := f.offerAs(2000, false, "data"); ok {
		t.Fatal("the clients' queue is not full")
	}
	for range 10 {
		token, ok := f.offerAs(9, true, "control")
		if !ok {
			t.Fatal("refused")
		}
		if o := f.answer(t, token); string(o.Frame) != "control" {
			t.Fatalf("%+v", o)
		}
	}
	close(release)
	for _, token := range tokens {
		f.answer(t, token)
	}
}

// Front ends that share a handler share its window: what it holds never comes above it once all know of each other,
// whoever comes and goes, and who is alone has all of it.
func TestFrontEndsShareAWindow(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	const window = 12
	var held, most atomic.Int64
	i := newInstance(t, url, "work", func(c *rc.ServerConfig) { c.Window = window }, func(i *instance, in *rc.Incoming) {
		for n := held.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(2 * time.Millisecond) // work
		held.Add(-1)
		echo(i, in)
	})
	var all []*sharing
	for n := range 3 {
		all = append(all, newSharing(t, url, n))
		settle(t, i, len(all), all)
		most.Store(0)
		flood(t, all)
		share := int64(window / len(all) * len(all))
		if m := most.Load(); m > share || m < share/2 {
			t.Errorf("%d front ends: %d requests held of a window of %d", len(all), m, window)
		}
	}
	for len(all) > 1 {
		all[0].stop()
		all = all[1:]
		settle(t, i, len(all), all)
		most.Store(0)
		flood(t, all)
		if m := most.Load(); m > window || m < window/2 {
			t.Errorf("%d front ends left: %d requests held of a window of %d", len(all), m, window)
		}
	}
}

// sharing is a front end that can be stopped.
type sharing struct {
	*frontEnd
	stop func()
}

func newSharing(t *testing.T, url string, n int) *sharing {
	f := &frontEnd{outcomes: outcomes{got: map[uint64][]rc.Outcome{}}}
	id := fmt.Sprintf("share%d", n)
	c, err := rc.NewChannel(rc.ChannelConfig{
		Subjects: subjects, FrontEnd: id, QueuedMaxRequests: 5000, ParkedMaxBytes: 1 << 20, ResponseMaxBytes: 256 << 20,
		RequestTimeout: 30 * time.Second, ProbeInterval: 25 * time.Millisecond, Now: now,
	}, connect(t, url), connect(t, url), f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddProcessor(0); err != nil {
		t.Fatal(err)
	}
	f.Channel, f.origin = c, rc.AppendOrigin(nil, rc.Origin{FrontEnd: id, ConnectionID: "c"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	s := &sharing{f, sync.OnceFunc(func() { cancel(); <-done })}
	t.Cleanup(s.stop)
	return s
}

// settle waits until the handler counts n front ends, and these have heard so.
func settle(t *testing.T, i *instance, n int, all []*sharing) {
	t.Helper()
	eventually(t, "the handler's shares are known", func() bool {
		for _, f := range all {
			handlers := f.View().Handlers()
			if len(handlers) != 1 || handlers[0].FrontEnds != n {
				return false
			}
		}
		return len(i.View().FrontEnds()) == n
	})
}

// flood sends much from all front ends at once and waits for the answers.
func flood(t *testing.T, all []*sharing) {
	t.Helper()
	for client := range uint32(100) {
		for _, f := range all {
			if _, ok := f.offerAs(client, false, "x"); !ok {
				t.Fatal("refused")
			}
		}
	}
	for _, f := range all {
		eventually(t, "all are answered", func() bool { return f.InFlight() == 0 })
	}
}
