package log_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"kanal/libs/log"
	"kanal/libs/log/logtest"
)

func openTable(t *testing.T, s *logtest.Stream, tune func(*log.Config)) *log.Table {
	t.Helper()
	tab, err := log.OpenTable(context.Background(), nil, log.TableConfig{Stream: "test", Storage: s, Log: slog.New(slog.DiscardHandler), Tune: tune})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tab.Close)
	return tab
}

// submit waits for the outcome.
func submit(tab *log.Table, changes ...log.Change) error {
	c := make(chan error, 1)
	tab.Submit(changes, func(err error) { c <- err })
	return <-c
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestTableKeepsWhatItCommitted(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	a := openTable(t, s, nil)
	if err := submit(a, log.Change{Key: "k", Value: []byte("v")}, log.Change{Key: "gone", Value: []byte{}}); err != nil {
		t.Fatal(err)
	}
	if v := a.Get("gone"); v == nil || len(v) != 0 {
		t.Fatalf("an empty value came back as %v", v)
	}
	if err := submit(a, log.Change{Key: "gone"}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := submit(a, log.Change{Key: "late"}); !errors.Is(err, log.ErrClosed) {
		t.Fatalf("closed table said %v", err)
	}
	b := openTable(t, s, nil)
	if string(b.Get("k")) != "v" || b.Get("gone") != nil || b.Len() != 1 {
		t.Fatalf("reopened with %d keys", b.Len())
	}
}

func TestTableTellsOfForeignMessages(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	slow := func(c *log.Config) { c.Silence = time.Hour }
	a, b := openTable(t, s, slow), openTable(t, s, slow)
	told := make(chan struct{}, 10)
	b.OnForeign(func() { told <- struct{}{} })
	if err := submit(a, log.Change{Key: "k", Value: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if err := submit(b, log.Change{Key: "k", Value: []byte("b")}); !errors.Is(err, log.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	<-told
	if v := string(b.Get("k")); v != "a" {
		t.Fatalf("after the conflict: %q", v)
	}
	if err := submit(b); err != nil { // a confirmation changes nothing ...
		t.Fatal(err)
	}
	if err := submit(a, log.Change{Key: "k", Value: []byte("a2")}); err != nil { // ... and so is no conflict for the other
		t.Fatal(err)
	}
}

func TestTableFollows(t *testing.T) {
	for name, c := range map[string]struct {
		faults  logtest.Faults
		silence time.Duration
	}{
		"by the feed":           {logtest.Faults{}, time.Hour},
		"by asking in silence":  {logtest.Faults{LostFeed: 1}, 10 * time.Millisecond},
		"with replicas behind":  {logtest.Faults{Behind: 1}, time.Hour},
		"with everything wrong": {logtest.Faults{LostFeed: .5, Behind: .5, LostAck: .3, LostRequest: .3}, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := logtest.NewStream(1, c.faults)
			tune := func(l *log.Config) { l.Silence = c.silence }
			a, b := openTable(t, s, tune), openTable(t, s, tune)
			if err := submit(a, log.Change{Key: "k", Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the other sees it", func() bool { return string(b.Get("k")) == "v" })
		})
	}
}

func TestTableRefusesWhatIsTooLarge(t *testing.T) {
	tab := openTable(t, logtest.NewStream(1, logtest.Faults{}), nil)
	if err := submit(tab, log.Change{Key: "k", Value: make([]byte, 2<<20)}); !errors.Is(err, log.ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	if err := submit(tab, log.Change{Key: "k", Value: make([]byte, 700<<10)}); err != nil {
		t.Fatalf("a large one alone: %v", err)
	}
}

func TestCheckpointsKeepTheStreamShort(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	tune := func(c *log.Config) { c.CheckpointBytes = 64 << 10 }
	a := openTable(t, s, tune)
	value := make([]byte, 3000)
	for i := range 2000 {
		if err := submit(a, log.Change{Key: fmt.Sprint(i % 500), Value: binary.BigEndian.AppendUint32(value[:len(value):len(value)], uint32(i))}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "purged", func() bool { return len(s.Records()) < 1100 })
	b := openTable(t, s, tune)
	for i := range 500 {
		v := b.Get(fmt.Sprint(i))
		if len(v) != 3004 || binary.BigEndian.Uint32(v[3000:]) != uint32(1500+i) {
			t.Fatalf("key %d: %d bytes", i, len(v))
		}
	}
}

// A reader that slept while others wrote and purged starts over from the checkpoint.
func TestTableWakesUpBehindThePurge(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	sleeper := openTable(t, s, func(c *log.Config) { c.Silence = time.Hour })
	a := openTable(t, s, func(c *log.Config) { c.CheckpointMessages = 10 })
	for i := range 100 {
		if err := submit(a, log.Change{Key: "k", Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "purged", func() bool { return s.Records()[0].Sequence > 1 })
	if err := submit(sleeper, log.Change{Key: "k", Value: []byte("stale")}); !errors.Is(err, log.ErrConflict) && !errors.Is(err, log.ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	if v := string(sleeper.Get("k")); v != "99" {
		t.Fatalf("woke up to %q", v)
	}
}

// Writers fight over counters: each adds one to a counter as its table shows it. Whatever goes wrong in between, a counter must end
// at the number of additions that were acknowledged, give or take those whose outcome nobody could tell.
func TestTableWritersFight(t *testing.T) {
	const writers, rounds, keys = 3, 300, 4
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := logtest.NewStream(seed, logtest.Faults{LostRequest: .05, LostAck: .1, Delayed: .1, LostFeed: .2, Behind: .1})
			tune := func(c *log.Config) {
				c.Silence, c.CheckpointMessages, c.CheckpointBytes = 20*time.Millisecond, 30, 100<<10
			}
			var mu sync.Mutex
			sure, unsure := map[string]uint64{}, map[string]uint64{}
			var all sync.WaitGroup
			for w := range writers {
				random := rand.New(rand.NewPCG(seed, uint64(w)+10))
				tab := openTable(t, s, tune)
				all.Go(func() {
					for range rounds {
						key := fmt.Sprint("counter ", random.IntN(keys))
						err := increment(tab, key)
						mu.Lock()
						switch {
						case err == nil:
							sure[key]++
						case errors.Is(err, log.ErrUnknown):
							unsure[key]++
						case !errors.Is(err, log.ErrConflict):
							t.Error(err)
						}
						mu.Unlock()
					}
				})
			}
			all.Wait()
			s.SetFaults(logtest.Faults{})
			end := openTable(t, s, tune)
			for k := range keys {
				key := fmt.Sprint("counter ", k)
				if v := value(end, key); v < sure[key] || v > sure[key]+unsure[key] {
					t.Errorf("%s: %d, acknowledged %d, unknown %d", key, v, sure[key], unsure[key])
				}
			}
		})
	}
}

func value(tab *log.Table, key string) uint64 {
	if v := tab.Get(key); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// increment decides without a lock of its own, so it must be sure that what it read is what it is judged by: the conflict check is
// the log's, and no foreign message can have been applied between Get and Submit unless Submit says so, since nothing else is
// submitted here meanwhile and a foreign message in between shows in a second look at the value.
func increment(tab *log.Table, key string) error {
	var mu sync.Mutex
	tab.OnForeign(func() { mu.Lock(); defer mu.Unlock() })
	done := make(chan error, 1)
	mu.Lock()
	tab.Submit([]log.Change{{Key: key, Value: binary.BigEndian.AppendUint64(nil, value(tab, key)+1)}}, func(err error) { done <- err })
	mu.Unlock()
	return <-done
}
