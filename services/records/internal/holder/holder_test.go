package holder

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/log/logtest"
	"kanal/services/records/internal/topiclog"
)

type world struct {
	mu      sync.Mutex
	holder  string
	deleted bool
}

func (w *world) set(holder string, deleted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holder, w.deleted = holder, deleted
}

func (w *world) ID() string { return "here" }
func (w *world) Holder(string, int32) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holder, w.holder != ""
}
func (w *world) TopicByID([16]byte) *cluster.Topic {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deleted {
		return nil
	}
	return topic
}
func (w *world) Leader(string, int32) int32 { return 1 }

var topic = &cluster.Topic{Name: "t", Partitions: 1, Logs: 1}

func start(t *testing.T, w *world) (h *Holder, opened *atomic.Int32) {
	opened = new(atomic.Int32)
	s, quiet := logtest.NewStream(1, logtest.Faults{}), slog.New(slog.DiscardHandler)
	h = New(w, w, func(ctx context.Context, _ *cluster.Topic, _ int32) (*topiclog.Log, error) {
		opened.Add(1)
		return topiclog.Open(ctx, topiclog.Config{Name: "t", Storage: s, Cache: topiclog.NewCache(1<<20, nil), LeaderEpoch: func() int32 { return 0 }, Log: quiet})
	}, quiet)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return h, opened
}

func mustOpen(t *testing.T, h *Holder) *topiclog.Log {
	t.Helper()
	l, err := h.Open(topic, 0).Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOpeningIsShared(t *testing.T) {
	h, opened := start(t, &world{holder: "here"})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { mustOpen(t, h) })
	}
	all.Wait()
	if n := opened.Load(); n != 1 {
		t.Fatalf("opened %d times", n)
	}
}

func TestWaitersWakeWhenAnotherHolds(t *testing.T) {
	w := &world{holder: "here"}
	h, _ := start(t, w)
	l := mustOpen(t, h)
	waiter := topiclog.NewWaiter(1)
	l.Watch(0, 0, waiter)
	w.set("there", false)
	h.Changed()
	select {
	case <-waiter.C():
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting")
	}
}

func TestDeletedTopicsCloseTheirLogs(t *testing.T) {
	w := &world{holder: "here"}
	h, opened := start(t, w)
	l := mustOpen(t, h)
	w.set("here", true)
	h.Changed()
	<-l.Done()
	w.set("here", false)
	mustOpen(t, h)
	if n := opened.Load(); n != 2 {
		t.Fatalf("opened %d times", n)
	}
}

func TestIdleLogsClose(t *testing.T) {
	w := &world{holder: "there"}
	h, _ := start(t, w)
	var now atomic.Int64
	h.mu.Lock()
	h.now = func() time.Time { return time.Unix(now.Load(), 0) }
	h.mu.Unlock()
	l := mustOpen(t, h)
	now.Store(int64(idleElsewhere/time.Second) + 1)
	h.Changed()
	<-l.Done()
}
