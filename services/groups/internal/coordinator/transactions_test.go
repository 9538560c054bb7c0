package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log/logtest"
	"kanal/services/groups/internal/transaction"
)

// written are the markers that partitions were told, by transactional id and number.
type written struct {
	mu   sync.Mutex
	all  map[string]transaction.State
	hold chan struct{} // markers wait until it is closed; nil: they do not
	bad  []string
}

func newWritten() *written { return &written{all: map[string]transaction.State{}} }

func (w *written) Write(ctx context.Context, id string, t *transaction.Transaction) error {
	if w.hold != nil {
		select {
		case <-w.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprint(id, "/", t.Number)
	if before, told := w.all[key]; told && before != t.State {
		w.bad = append(w.bad, fmt.Sprintf("%s was told %s and then %s", key, before, t.State))
	}
	w.all[key] = t.State
	return nil
}

func (w *written) of(id string, number uint32) (transaction.State, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, told := w.all[fmt.Sprint(id, "/", number)]
	return s, told
}

func withMarkers(w *written) func(*Config) {
	return func(c *Config) { c.Markers, c.TransactionRetention = w.Write, week }
}

func initID(producer int64) decision {
	return func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		return t.Init(now, transaction.Init{Timeout: time.Minute, ProducerID: -1, Epoch: -1, NewID: producer})
	}
}

func addTo(p *transaction.Transaction) decision {
	return func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		return t.Add(now, p.ProducerID, p.Epoch, []transaction.Partition{{Topic: "t"}})
	}
}

func end(p *transaction.Transaction, commit bool) decision {
	return func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		return t.End(now, transaction.End{ProducerID: p.ProducerID, Epoch: p.Epoch, Commit: commit})
	}
}

func must(t testing.TB, c *Coordinator, id string, d decision) *transaction.Transaction {
	t.Helper()
	x, e := c.Decide(t.Context(), id, d)
	if e != nil {
		t.Fatal(e)
	}
	return x
}

func state(t testing.TB, c *Coordinator, id string) transaction.State {
	t.Helper()
	all, e := c.Transactions(t.Context())
	if e != nil || all[id] == nil {
		t.Fatalf("%s: %v, %v", id, all[id], e)
	}
	return all[id].State
}

func TestTransactionIsMarkedAndCompleted(t *testing.T) {
	w := newWritten()
	c := open(t, logtest.NewStream(1, logtest.Faults{}), withMarkers(w))
	p := must(t, c, "id", initID(7))
	for n, commit := range []bool{true, false} {
		must(t, c, "id", addTo(p))
		must(t, c, "id", end(p, commit))
		want := map[bool]transaction.State{true: transaction.CompleteCommit, false: transaction.CompleteAbort}[commit]
		eventually(t, "completed", func() bool { return state(t, c, "id") == want })
		if s, told := w.of("id", uint32(n+1)); !told || s != want-2 {
			t.Errorf("partitions were told %v, %v", s, told)
		}
	}
}

// Whoever takes a log over goes on with what was decided.
func TestMarkersAreResumed(t *testing.T) {
	s, stuck := logtest.NewStream(1, logtest.Faults{}), newWritten()
	stuck.hold = make(chan struct{})
	first := open(t, s, withMarkers(stuck))
	p := must(t, first, "id", initID(7))
	must(t, first, "id", addTo(p))
	must(t, first, "id", end(p, true))
	if _, e := first.Decide(t.Context(), "id", addTo(p)); e != kerr.ConcurrentTransactions {
		t.Errorf("the next transaction meanwhile: %v", e)
	}
	w := newWritten()
	second := open(t, s, withMarkers(w))
	eventually(t, "completed by the other", func() bool { return state(t, second, "id") == transaction.CompleteCommit })
	if s, _ := w.of("id", 1); s != transaction.PrepareCommit {
		t.Errorf("partitions were told %v", s)
	}
}

func TestOverdueTransactionIsAborted(t *testing.T) {
	w := newWritten()
	var mu sync.Mutex
	now := time.Now()
	c := open(t, logtest.NewStream(1, logtest.Faults{}), func(cfg *Config) {
		withMarkers(w)(cfg)
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	p := must(t, c, "id", initID(7))
	must(t, c, "id", addTo(p))
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	eventually(t, "aborted", func() bool { return state(t, c, "id") == transaction.CompleteAbort })
	if _, e := c.Decide(t.Context(), "id", end(p, true)); e != kerr.ProducerFenced {
		t.Errorf("the producer that was silent: %v", e)
	}
}

func TestUnusedTransactionalIDExpires(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	c := open(t, logtest.NewStream(1, logtest.Faults{}), func(cfg *Config) {
		withMarkers(newWritten())(cfg)
		cfg.CleanInterval = time.Second
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	must(t, c, "id", initID(7))
	mu.Lock()
	now = now.Add(week + time.Hour)
	mu.Unlock()
	eventually(t, "forgotten", func() bool { all, _ := c.Transactions(t.Context()); return len(all) == 0 })
	if p := must(t, c, "id", initID(8)); p.ProducerID != 8 || p.Epoch != 0 {
		t.Errorf("comes back as %+v", p)
	}
}

// Two that both believe to hold the log: what a producer was told stays so, whoever it asked.
func TestDecisionsSurviveTwoHolders(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := logtest.NewStream(seed, logtest.Faults{LostRequest: .05, LostAck: .05, Delayed: .05, LostFeed: .3, Behind: .3})
			w := newWritten()
			both := []*Coordinator{open(t, s, withMarkers(w)), open(t, s, withMarkers(w))}
			var workers sync.WaitGroup
			for g := range 3 {
				workers.Go(func() { produce(t, fmt.Sprint("id", g), rand.New(rand.NewPCG(seed, uint64(g))), both, w) })
			}
			workers.Wait()
			for _, bad := range w.bad {
				t.Error(bad)
			}
		})
	}
}

// produce runs transactions against whichever coordinator and notes what it was told.
func produce(t *testing.T, id string, r *rand.Rand, both []*Coordinator, w *written) {
	try := func(d decision) (*transaction.Transaction, *kerr.Error) {
		for {
			x, e := both[r.IntN(2)].Decide(t.Context(), id, d)
			if e == nil || !e.Retriable && e != kerr.ConcurrentTransactions || t.Context().Err() != nil {
				return x, e
			}
		}
	}
	p, e := try(initID(int64(r.IntN(1000))))
	if e != nil {
		t.Errorf("init: %v", e)
		return
	}
	for range 12 {
		x, e := try(addTo(p))
		if e != nil {
			t.Errorf("%s: add: %v", id, e)
			return
		}
		commit := r.IntN(2) == 0
		if _, e = try(end(p, commit)); e != nil {
			t.Errorf("%s: end %v: %v", id, commit, e)
			return
		}
		want := transaction.PrepareAbort
		if commit {
			want = transaction.PrepareCommit
		}
		number := x.Number
		eventually(t, "marked", func() bool { _, told := w.of(id, number); return told })
		if s, _ := w.of(id, number); s != want {
			t.Errorf("%s/%d: told %s, marked %s", id, number, want, s)
		}
	}
}

func pend(t testing.TB, c *Coordinator, producer, offset int64) *kerr.Error {
	t.Helper()
	g := c.Guard(t.Context(), producer)
	defer c.EndGuard(g)
	return c.CommitPending(t.Context(), "g", commitOf(offset), g)
}

func unstable(t testing.TB, c *Coordinator) bool {
	t.Helper()
	offsets, e := c.Offsets(t.Context(), "g")
	if e != nil {
		t.Fatal(e)
	}
	return offsets[Partition{Topic: "t"}].Unstable
}

func TestPendingOffsetsCountWithTheirTransaction(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	c := open(t, s, nil)
	if e := c.Commit(t.Context(), "g", commitOf(1)); e != nil {
		t.Fatal(e)
	}
	for n, commit := range []bool{true, false, true} {
		before := offset(t, c, "g")
		if e := pend(t, c, 7, int64(n+10)); e != nil {
			t.Fatal(e)
		}
		if got := offset(t, c, "g"); got != before || !unstable(t, c) {
			t.Errorf("before the end: %d, unstable %v, want %d", got, unstable(t, c), before)
		}
		c = open(t, s, nil) // what waits is in the log
		if e := c.EndTransaction(t.Context(), 8, true); e != nil {
			t.Fatal(e)
		}
		if e := c.EndTransaction(t.Context(), 7, commit); e != nil {
			t.Fatal(e)
		}
		want := before
		if commit {
			want = int64(n + 10)
		}
		if got := offset(t, c, "g"); got != want || unstable(t, c) {
			t.Errorf("after the end, commit %v: %d, unstable %v, want %d", commit, got, unstable(t, c), want)
		}
		if e := c.EndTransaction(t.Context(), 7, !commit); e != nil || offset(t, c, "g") != want {
			t.Errorf("a marker that comes again changed it to %d, %v", offset(t, c, "g"), e)
		}
	}
}

// A commit whose transaction was checked, and has ended before it is stored, would wait for ever.
func TestOffsetsThatComeTooLateAreRefused(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	g := c.Guard(t.Context(), 7)
	if e := c.EndTransaction(t.Context(), 7, true); e != nil {
		t.Fatal(e)
	}
	if e := c.CommitPending(t.Context(), "g", commitOf(5), g); e != kerr.InvalidTxnState {
		t.Errorf("late: %v", e)
	}
	c.EndGuard(g)
}

// The same where another instance wrote the marker: this one learns it by the log.
func TestOffsetsThatComeTooLateElsewhereAreRefused(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	old, holder := openDeaf(t, s), open(t, s, nil)
	g := old.Guard(t.Context(), 7)
	if e := holder.EndTransaction(t.Context(), 7, true); e != nil {
		t.Fatal(e)
	}
	if e := old.CommitPending(t.Context(), "g", commitOf(5), g); e != kerr.NotCoordinator {
		t.Errorf("late: %v", e)
	}
	old.EndGuard(g)
}

func TestDeletedGroupHasNothingPending(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	c := open(t, s, nil)
	if e := c.Commit(t.Context(), "g", commitOf(1)); e != nil {
		t.Fatal(e)
	}
	if e := pend(t, c, 7, 5); e != nil {
		t.Fatal(e)
	}
	if e := c.Delete(t.Context(), "g"); e != nil {
		t.Fatal(e)
	}
	for _, c := range []*Coordinator{c, open(t, s, nil)} {
		if e := c.EndTransaction(t.Context(), 7, true); e != nil || offset(t, c, "g") != -1 {
			t.Errorf("offset %d after the group's end, %v", offset(t, c, "g"), e)
		}
	}
}
