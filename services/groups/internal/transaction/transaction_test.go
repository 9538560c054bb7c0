package transaction

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	start = time.UnixMilli(1_700_000_000_000)
	p0    = Partition{Topic: "t", Partition: 0}
	p1    = Partition{Topic: "t", Partition: 1}
)

func begin(t *testing.T) *Transaction {
	t.Helper()
	var none *Transaction
	x, e := none.Init(start, Init{Timeout: time.Minute, ProducerID: -1, Epoch: -1, NewID: 7})
	if e != nil || x.ProducerID != 7 || x.Epoch != 0 || x.State != Empty {
		t.Fatalf("first Init: %+v, %v", x, e)
	}
	return x
}

// must takes a decision that changes something.
func must(t *testing.T) func(x *Transaction, e *kerr.Error) *Transaction {
	return func(x *Transaction, e *kerr.Error) *Transaction {
		t.Helper()
		if e != nil || x == nil {
			t.Fatalf("decision: %v, %v", x, e)
		}
		return x
	}
}

// states of one transactional id with producer 7, epoch 0.
func inEachState(t *testing.T) map[State]*Transaction {
	empty := begin(t)
	ongoing := must(t)(empty.Add(start, 7, 0, []Partition{p0}))
	commit := must(t)(ongoing.End(start, End{ProducerID: 7, Commit: true}))
	abort := must(t)(ongoing.End(start, End{ProducerID: 7}))
	return map[State]*Transaction{
		Empty: empty, Ongoing: ongoing, PrepareCommit: commit, PrepareAbort: abort,
		CompleteCommit: commit.Completed(start), CompleteAbort: abort.Completed(start),
	}
}

// Every state and every request of transaction.version 0 and 1 (TransactionCoordinatorTest).
func TestEndInEachState(t *testing.T) {
	for state, want := range map[State]struct{ commit, abort *kerr.Error }{
		Empty:          {kerr.InvalidTxnState, kerr.InvalidTxnState},
		Ongoing:        {nil, nil},
		PrepareCommit:  {kerr.ConcurrentTransactions, kerr.InvalidTxnState},
		PrepareAbort:   {kerr.InvalidTxnState, kerr.ConcurrentTransactions},
		CompleteCommit: {nil, kerr.InvalidTxnState},
		CompleteAbort:  {kerr.InvalidTxnState, nil},
	} {
		x := inEachState(t)[state]
		if x.State != state {
			t.Fatalf("%s is %s", state, x.State)
		}
		if n, e := x.End(start, End{ProducerID: 7, Commit: true}); e != want.commit || (n != nil) != (state == Ongoing) {
			t.Errorf("%s: commit gives %v, %v", state, n, e)
		}
		if n, e := x.End(start, End{ProducerID: 7}); e != want.abort || (n != nil) != (state == Ongoing) {
			t.Errorf("%s: abort gives %v, %v", state, n, e)
		}
	}
}

func TestAddInEachState(t *testing.T) {
	for state, x := range inEachState(t) {
		n, e := x.Add(start.Add(time.Second), 7, 0, []Partition{p1})
		if state.Ending() {
			if e != kerr.ConcurrentTransactions || n != nil {
				t.Errorf("%s: %v, %v", state, n, e)
			}
			continue
		}
		if e != nil || n.State != Ongoing || n.Verify(7, 0, p1) != nil {
			t.Fatalf("%s: %+v, %v", state, n, e)
		}
		if began := state != Ongoing; began != (n.Number == x.Number+1) || began != n.Started.Equal(start.Add(time.Second)) ||
			began == (n.Verify(7, 0, p0) == nil) {
			t.Errorf("%s: begun anew is %v: %+v", state, began, n)
		}
		if again, e := n.Add(start, 7, 0, []Partition{p1}); again != nil || e != nil {
			t.Errorf("%s: the same again changes %+v, %v", state, again, e)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	var none *Transaction
	if _, e := none.Add(start, 7, 0, []Partition{p0}); e != kerr.InvalidProducerIDMapping {
		t.Errorf("an unknown id: %v", e)
	}
	for state, x := range inEachState(t) {
		for _, who := range []struct {
			id    int64
			epoch int16
			want  *kerr.Error
		}{{8, 0, kerr.InvalidProducerIDMapping}, {7, 1, kerr.ProducerFenced}, {7, -1, kerr.ProducerFenced}} {
			if _, e := x.Add(start, who.id, who.epoch, []Partition{p0}); e != who.want {
				t.Errorf("%s: Add by %d/%d: %v", state, who.id, who.epoch, e)
			}
			if _, e := x.End(start, End{ProducerID: who.id, Epoch: who.epoch}); e != who.want {
				t.Errorf("%s: End by %d/%d: %v", state, who.id, who.epoch, e)
			}
			if e := x.Verify(who.id, who.epoch, p0); e != who.want {
				t.Errorf("%s: Verify by %d/%d: %v", state, who.id, who.epoch, e)
			}
		}
	}
}

func TestInitInEachState(t *testing.T) {
	for state, x := range inEachState(t) {
		n, e := x.Init(start, Init{Timeout: time.Second, ProducerID: -1, Epoch: -1, NewID: 9})
		switch {
		case state.Ending():
			if e != kerr.ConcurrentTransactions || n != nil {
				t.Errorf("%s: %+v, %v", state, n, e)
			}
		case state == Ongoing:
			if e != kerr.ConcurrentTransactions || n == nil || n.State != PrepareAbort || n.Epoch != 1 {
				t.Errorf("%s is not aborted: %+v, %v", state, n, e)
			}
		default:
			if e != nil || n.ProducerID != 7 || n.Epoch != 1 || n.State != Empty || n.Timeout != time.Second {
				t.Errorf("%s: %+v, %v", state, n, e)
			}
		}
	}
}

// KIP-360: a producer that brings its identity gets the next epoch once, and the same again when it repeats.
func TestInitOfAProducerThatWasHere(t *testing.T) {
	x := begin(t)
	q := Init{Timeout: time.Minute, ProducerID: 7, Epoch: 0, NewID: 9}
	n := must(t)(x.Init(start, q))
	if n.Epoch != 1 || n.Previous != 0 {
		t.Fatalf("bumped: %+v", n)
	}
	if again := must(t)(n.Init(start, q)); again.Epoch != 1 || again.Previous != 0 {
		t.Errorf("repeated: %+v", again)
	}
	later := must(t)(n.Init(start, Init{ProducerID: 7, Epoch: 1, NewID: 9}))
	if _, e := later.Init(start, q); e != kerr.ProducerFenced {
		t.Errorf("an old epoch: %v", e)
	}
	if _, e := n.Init(start, Init{ProducerID: 8, Epoch: 0, NewID: 9}); e != kerr.ProducerFenced {
		t.Errorf("a foreign id: %v", e)
	}
	fenced := must(t)(n.Init(start, Init{ProducerID: -1, Epoch: -1, NewID: 9}))
	if _, e := fenced.Init(start, Init{ProducerID: 7, Epoch: 1, NewID: 9}); e != kerr.ProducerFenced {
		t.Errorf("one that was replaced: %v", e)
	}
}

func TestEpochsRunOut(t *testing.T) {
	x := begin(t)
	x.Epoch = math.MaxInt16 - 1
	n := must(t)(x.Init(start, Init{ProducerID: -1, Epoch: -1, NewID: 9}))
	if n.ProducerID != 9 || n.Epoch != 0 || n.PreviousID != 7 {
		t.Fatalf("%+v", n)
	}
	if again := must(t)(n.Init(start, Init{ProducerID: 7, Epoch: math.MaxInt16 - 1, NewID: 10})); again.ProducerID != 9 || again.Epoch != 0 {
		t.Errorf("repeated: %+v", again)
	}
}

// KIP-890: the epoch rises with every decision, and who repeats his request learns the new one.
func TestEndBumps(t *testing.T) {
	x := must(t)(begin(t).Add(start, 7, 0, []Partition{p0}))
	q := End{ProducerID: 7, Commit: true, Bump: true, NewID: 9}
	n := must(t)(x.End(start, q))
	if n.State != PrepareCommit || n.Epoch != 1 || n.Previous != 0 {
		t.Fatalf("%+v", n)
	}
	if again, e := n.End(start, q); again != nil || e != kerr.ConcurrentTransactions {
		t.Errorf("repeated while markers are written: %v, %v", again, e)
	}
	done := n.Completed(start)
	if again, e := done.End(start, q); again != nil || e != nil {
		t.Errorf("repeated: %v, %v", again, e)
	}
	if id, epoch := done.Producer(); id != 7 || epoch != 1 {
		t.Errorf("goes on as %d/%d", id, epoch)
	}
	if _, e := done.End(start, End{ProducerID: 7, Bump: true, NewID: 9}); e != kerr.InvalidTxnState {
		t.Errorf("a commit repeated as abort: %v", e)
	}
	if _, e := done.End(start, End{ProducerID: 7, Epoch: 1, Commit: true, Bump: true}); e != kerr.InvalidTxnState {
		t.Errorf("commit of nothing: %v", e)
	}
	if n := must(t)(done.End(start, End{ProducerID: 7, Epoch: 1, Bump: true})); n.State != PrepareAbort || n.Epoch != 2 {
		t.Errorf("abort of nothing: %+v", n)
	}
	if _, e := must(t)(done.Add(start, 7, 1, []Partition{p0})).End(start, q); e != kerr.ProducerFenced {
		t.Errorf("a decision of the transaction before: %v", e)
	}
}

func TestEpochsRunOutAtTheEnd(t *testing.T) {
	x := begin(t)
	x.Epoch = math.MaxInt16 - 1
	x = must(t)(x.Add(start, 7, x.Epoch, []Partition{p0}))
	q := End{ProducerID: 7, Epoch: x.Epoch, Commit: true, Bump: true, NewID: 9}
	n := must(t)(x.End(start, q))
	if id, epoch := n.Producer(); id != 9 || epoch != 0 || n.ProducerID != 7 || n.Epoch != math.MaxInt16 {
		t.Fatalf("%+v", n)
	}
	if _, e := n.Add(start, 9, 0, []Partition{p0}); e != kerr.ConcurrentTransactions {
		t.Errorf("the new producer, early: %v", e)
	}
	done := n.Completed(start)
	if done.ProducerID != 9 || done.Epoch != 0 || done.PreviousID != 7 {
		t.Fatalf("%+v", done)
	}
	if again, e := done.End(start, q); again != nil || e != nil {
		t.Errorf("repeated: %v, %v", again, e)
	}
	must(t)(done.Add(start, 9, 0, []Partition{p0}))
}

func TestAbandonFences(t *testing.T) {
	x := must(t)(begin(t).Add(start, 7, 0, []Partition{p0}))
	if due := x.Overdue(); !due.Equal(start.Add(time.Minute)) {
		t.Errorf("overdue at %v", due)
	}
	n := x.Abandon(start)
	if n.State != PrepareAbort || n.Epoch != 1 || !n.Overdue().IsZero() {
		t.Fatalf("%+v", n)
	}
	if _, e := n.End(start, End{ProducerID: 7, Commit: true}); e != kerr.ProducerFenced {
		t.Errorf("the producer that was silent: %v", e)
	}
}

// Whatever is asked in whatever order: at most one epoch may write at a time, a decision stays what it is, and what is
// stored is what was meant.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		x, now := begin(t), start
		for range 200 {
			now = now.Add(time.Duration(r.IntN(5000)) * time.Millisecond)
			n := step(r, x, now)
			if n == nil {
				continue
			}
			if x.State.Ending() && n.State != x.State+2 {
				t.Fatalf("seed %d: %s became %s", seed, x.State, n.State)
			}
			if n.ProducerID == x.ProducerID && n.Epoch < x.Epoch || n.Number < x.Number || n.State == Ongoing && len(n.Partitions) == 0 {
				t.Fatalf("seed %d: %+v became %+v", seed, x, n)
			}
			if got, err := Decode(n.Encode()); err != nil || !reflect.DeepEqual(normal(got), normal(n)) {
				t.Fatalf("seed %d: stored %+v, read %+v, %v", seed, n, got, err)
			}
			x = n
		}
	}
}

func step(r *rand.Rand, x *Transaction, now time.Time) (n *Transaction) {
	id, epoch := x.ProducerID, x.Epoch-int16(r.IntN(2))
	switch r.IntN(6) {
	case 0:
		n, _ = x.Init(now, Init{Timeout: time.Second, ProducerID: -1, Epoch: -1, NewID: 100})
	case 1:
		n, _ = x.Init(now, Init{Timeout: time.Second, ProducerID: id, Epoch: epoch, NewID: 100})
	case 2:
		n, _ = x.Add(now, id, epoch, []Partition{{Topic: "t", Partition: r.Int32N(4)}})
	case 3:
		n, _ = x.End(now, End{ProducerID: id, Epoch: epoch, Commit: r.IntN(2) == 0, Bump: r.IntN(2) == 0, NewID: 101})
	case 4:
		if x.State.Ending() {
			n = x.Completed(now)
		}
	default:
		if due := x.Overdue(); !due.IsZero() && now.After(due) {
			n = x.Abandon(now)
		}
	}
	return n
}

// normal has no empty maps: they are stored as none.
func normal(t *Transaction) Transaction {
	n := *t
	if len(n.Partitions) == 0 {
		n.Partitions = nil
	}
	return n
}

func FuzzDecode(f *testing.F) {
	x := &Transaction{ProducerID: 7, Previous: -1, PreviousID: -1, NextID: -1, State: Ongoing, Started: start, Updated: start,
		Partitions: map[Partition]struct{}{p0: {}, p1: {}}}
	f.Add(x.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(x.Encode())
		if err != nil || !reflect.DeepEqual(again.Encode(), x.Encode()) {
			t.Fatalf("%+v read again: %+v, %v", x, again, err)
		}
	})
}
