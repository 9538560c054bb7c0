package retention

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/log"
	"kanal/libs/log/logtest"
	"kanal/services/records/internal/holder"
	"kanal/services/records/internal/topiclog"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		configs map[string]string
		want    topiclog.Retention
	}{
		"defaults":  {nil, topiclog.Retention{Time: 7 * 24 * time.Hour, Bytes: -1}},
		"both":      {map[string]string{"retention.ms": "1000", "retention.bytes": "5"}, topiclog.Retention{Time: time.Second, Bytes: 5}},
		"for ever":  {map[string]string{"retention.ms": "-1"}, topiclog.KeepAll},
		"very long": {map[string]string{"retention.ms": "9223372036854775807"}, topiclog.KeepAll},
		"compacted": {map[string]string{"cleanup.policy": "compact", "retention.ms": "1"}, topiclog.KeepAll},
	} {
		if got := Of(&cluster.Topic{Configs: c.configs}); got.Bytes != c.want.Bytes || got.Time != c.want.Time && (got.Time >= 0 || c.want.Time >= 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// world is one topic with two logs: log 0 is held here, log 1 elsewhere.
type world struct {
	topic  atomic.Pointer[cluster.Topic] // the holder's goroutine looks, too
	looks  [2]int
	opened bool
	broken bool
	holder *holder.Holder
}

func (w *world) ID() string { return "here" }
func (w *world) Holder(_ string, broker int32) (string, bool) {
	return map[int32]string{0: "here", 1: "there"}[broker], true
}
func (w *world) TopicByID([16]byte) *cluster.Topic  { return w.topic.Load() }
func (w *world) Leader(_ string, index int32) int32 { return index }
func (w *world) IsOpen(*cluster.Topic, int32) bool  { return w.opened }
func (w *world) Elsewhere(topic string, index int32) (string, bool) {
	return w.holder.Elsewhere(topic, index)
}
func (w *world) Look(t *cluster.Topic, index int32) *holder.Opening {
	w.looks[index]++
	return w.holder.Look(t, index)
}

// A log is looked at when it is open, when something of it expires, and when its topic's configs change; never one held elsewhere.
func TestSweeperLooksWhenItMust(t *testing.T) {
	w := new(world)
	w.topic.Store(&cluster.Topic{Name: "t", ID: [16]byte{1}, Partitions: 2, Logs: 2, Configs: map[string]string{"retention.ms": "1000"}})
	quiet := slog.New(slog.DiscardHandler)
	w.holder = holder.New(w, w, func(ctx context.Context, _ *cluster.Topic, _ int32) (*topiclog.Log, error) {
		if w.broken {
			return nil, errors.New("broken")
		}
		return topiclog.Open(ctx, topiclog.Config{Name: "t", Storage: logtest.NewStream(1, logtest.Faults{}), Cache: topiclog.NewCache(1<<20, nil),
			LeaderEpoch: func() int32 { return 0 }, Log: quiet, Tune: func(*log.Config) {}})
	}, quiet)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.holder.Run(ctx) }()
	defer func() { stop(); <-done }()
	s := New(func() []*cluster.Topic { return []*cluster.Topic{w.topic.Load()} }, w, quiet)
	now := time.Unix(1000, 0)
	s.now = func() time.Time { return now }
	sweep := func(what string, looks int) {
		t.Helper()
		before := w.looks
		s.sweep(ctx)
		if got := w.looks[0] - before[0]; got != looks || w.looks[1] != 0 {
			t.Errorf("%s: looked %d times, want %d; elsewhere %d", what, got, looks, w.looks[1])
		}
	}
	sweep("never seen", 1)
	sweep("empty and closed", 0)
	w.opened = true
	sweep("open", 1)
	w.opened = false
	changed := *w.topic.Load()
	changed.Revision = 2
	w.topic.Store(&changed)
	sweep("changed", 1)
	sweep("seen again", 0)
	s.due[key{changed.ID, 0}] = due{revision: 2, at: now.Add(time.Second)}
	sweep("before something expires", 0)
	now = now.Add(time.Second)
	sweep("when it expires", 1)
	s.due = map[key]due{}
	w.topic.Store(&cluster.Topic{Name: "u", ID: [16]byte{2}, Partitions: 1, Logs: 1})
	w.broken = true
	sweep("that does not open", 1)
	sweep("is tried again", 1)
}
