package log_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/log"
)

const stream = "kanal-test-1"

func createStream(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	cfg := log.StreamConfig("kanal", "test", stream, 1, map[string]string{"kanal.name": "test"})
	if err := log.CreateStream(within(t, 10*time.Second), js, cfg); err != nil {
		t.Fatal(err)
	}
}

func openTable(t testing.TB, js jetstream.JetStream, wrap func(log.Storage) log.Storage, tune func(*log.Config)) *log.Table {
	t.Helper()
	cfg := log.TableConfig{Prefix: "kanal", Cluster: "test", Stream: stream, Log: discard, Tune: tune}
	if wrap != nil {
		cfg.Storage = wrap(log.NewStream(js, "kanal", "test", stream))
	}
	tab, err := log.OpenTable(within(t, 10*time.Second), js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tab.Close)
	return tab
}

func submit(tab *log.Table, changes ...log.Change) error {
	c := make(chan error, 1)
	tab.Submit(changes, func(err error) { c <- err })
	return <-c
}

func TestTableInJetStream(t *testing.T) {
	s := startServer(t)
	js := connect(t, s)
	if _, err := log.OpenTable(within(t, 10*time.Second), js, log.TableConfig{Prefix: "kanal", Cluster: "test", Stream: stream, Log: discard}); !errors.Is(err, log.ErrNoStream) {
		t.Fatalf("without a stream: %v", err)
	}
	createStream(t, js)
	createStream(t, js) // once more is no error
	tune := func(c *log.Config) { c.Silence, c.CheckpointBytes = time.Hour, 1<<20 }
	a, b := openTable(t, js, nil, tune), openTable(t, connect(t, s), nil, tune)
	big := make([]byte, 3<<20)
	copy(big, "big")
	if err := submit(a, log.Change{Key: "k", Value: []byte("v")}, log.Change{Key: "big", Value: big}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the feed brings it to the other", func() bool { return string(b.Get("k")) == "v" && len(b.Get("big")) == len(big) })
	for i := range 200 { // the first of these takes a checkpoint of seven parts
		if err := submit(a, log.Change{Key: fmt.Sprint(i), Value: make([]byte, 20<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "purged", func() bool {
		i, err := js.Stream(within(t, time.Second), stream)
		return err == nil && i.CachedInfo().State.FirstSeq > 1
	})
	if err := submit(b, log.Change{Key: "k"}); err != nil && !errors.Is(err, log.ErrConflict) {
		t.Fatal(err)
	}
	c := openTable(t, connect(t, s), nil, tune)
	if c.Len() < 201 || string(c.Get("big")[:3]) != "big" {
		t.Fatalf("recovered %d keys", c.Len())
	}
	if err := log.DeleteStream(within(t, 10*time.Second), js, stream); err != nil {
		t.Fatal(err)
	}
	if err := log.DeleteStream(within(t, 10*time.Second), js, stream); err != nil {
		t.Fatalf("once more: %v", err)
	}
}

// TestTableGroupCommit has many submitters, whose changes share messages.
func TestTableGroupCommit(t *testing.T) {
	s := startServer(t)
	js := connect(t, s)
	createStream(t, js)
	tab := openTable(t, js, nil, nil)
	const groups, each = 200, 50
	var all sync.WaitGroup
	for g := range groups {
		all.Go(func() {
			for i := range each {
				if err := submit(tab, log.Change{Key: fmt.Sprint("group ", g), Value: binary.BigEndian.AppendUint32(nil, uint32(i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	i, err := js.Stream(within(t, time.Second), stream)
	if err != nil {
		t.Fatal(err)
	}
	if n := i.CachedInfo().State.LastSeq; n > groups*each/10 {
		t.Fatalf("%d commits took %d messages", groups*each, n)
	}
	if tab.Len() != groups {
		t.Fatalf("%d keys", tab.Len())
	}
}

// faulty stands between a log and its stream: acknowledgements get lost, publishes are given up and arrive later.
type faulty struct {
	log.Storage
	mu     sync.Mutex
	random *rand.Rand
	off    atomic.Bool
	late   *sync.WaitGroup
}

var errLost = errors.New("no answer")

func (f *faulty) Append(ctx context.Context, checkpoint bool, record []byte, last uint64) error {
	if f.off.Load() {
		return f.Storage.Append(ctx, checkpoint, record, last)
	}
	f.mu.Lock()
	fate, delay := f.random.IntN(100), time.Duration(f.random.IntN(5000))*time.Microsecond
	f.mu.Unlock()
	switch {
	case fate < 5:
		return errLost
	case fate < 15:
		record = append([]byte(nil), record...)
		f.late.Go(func() {
			time.Sleep(delay)                                                          // the fault itself, not a wait for something
			_ = f.Storage.Append(context.WithoutCancel(ctx), checkpoint, record, last) // nobody hears of it
		})
		return errLost
	case fate < 25:
		_ = f.Storage.Append(ctx, checkpoint, record, last) // the answer is lost
		return errLost
	}
	return f.Storage.Append(ctx, checkpoint, record, last)
}

// TestTableWritersFight: writers on connections of their own add to the same counters; what was acknowledged must be there, once.
func TestTableWritersFight(t *testing.T) {
	const writers, rounds, keys = 2, 400, 3
	s := startServer(t)
	createStream(t, connect(t, s))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	tune := func(c *log.Config) { c.Silence, c.CheckpointMessages = 50*time.Millisecond, 50 }
	var mu sync.Mutex
	sure, unsure, conflicts := map[string]uint64{}, map[string]uint64{}, 0
	var all, late sync.WaitGroup
	for w := range writers {
		f := &faulty{random: rand.New(rand.NewPCG(seed, uint64(w))), late: &late}
		random := rand.New(rand.NewPCG(seed, uint64(w)+100))
		tab := openTable(t, connect(t, s), func(st log.Storage) log.Storage { f.Storage = st; return f }, tune)
		all.Go(func() {
			for range rounds {
				key := fmt.Sprint("counter ", random.IntN(keys))
				err := increment(tab, key)
				mu.Lock()
				switch {
				case err == nil:
					sure[key]++
				case errors.Is(err, log.ErrConflict):
					conflicts++
				case errors.Is(err, log.ErrUnknown):
					unsure[key]++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	late.Wait()
	end := openTable(t, connect(t, s), nil, nil)
	for k := range keys {
		key := fmt.Sprint("counter ", k)
		if v := count(end, key); v < sure[key] || v > sure[key]+unsure[key] {
			t.Errorf("%s: %d, acknowledged %d, unknown %d", key, v, sure[key], unsure[key])
		}
	}
	if conflicts == 0 {
		t.Error("nobody ever came first: the test shows nothing")
	}
	t.Logf("acknowledged %v, unknown %v, conflicts %d", sure, unsure, conflicts)
}

func count(tab *log.Table, key string) uint64 {
	if v := tab.Get(key); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// increment reads, decides and submits under a lock that OnForeign's function takes too.
func increment(tab *log.Table, key string) error {
	var mu sync.Mutex
	tab.OnForeign(func() { mu.Lock(); defer mu.Unlock() })
	done := make(chan error, 1)
	mu.Lock()
	tab.Submit([]log.Change{{Key: key, Value: binary.BigEndian.AppendUint64(nil, count(tab, key)+1)}}, func(err error) { done <- err })
	mu.Unlock()
	return <-done
}
