package topiclog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kanal/libs/log"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
)

// desk is a log without a stream: messages are built, and applied by hand.
type desk struct {
	*Log
	done chan *Append
}

func newDesk() *desk {
	l := &Log{cfg: Config{Cache: NewCache(1<<20, nil), LeaderEpoch: func() int32 { return 0 }, ProducerExpiry: time.Hour}, state: state{partitions: map[int32]*partition{}}}
	l.build.init()
	return &desk{l, make(chan *Append, 100)}
}

func (d *desk) machine() *machine { return (*machine)(d.Log) }

// data is a batch of two records.
func data(id int64, epoch int16, sequence int32, transactional bool) batch.Batch {
	b := makeBatch(id, epoch, sequence, 2, nil)
	if transactional {
		b[22] |= 1 << 4
	}
	return b
}

func marker(id int64, epoch int16, number uint32, commit bool) batch.Batch {
	return batch.NewMarker(id, epoch, batch.Marker{Commit: commit, Epoch: int32(number)}, 1000)
}

// commit has appends decided and applied, one message for all, and returns their errors and whether each was written.
func (d *desk) commit(t *testing.T, appends ...*Append) {
	t.Helper()
	for _, a := range appends {
		a.Done = d.done
	}
	d.queue = append(d.queue, appends...)
	record := d.machine().Build(0, 1<<20, 1<<20)
	d.apply(t, record)
	if record != nil {
		d.machine().Committed(time.Now())
	}
	for range appends {
		<-d.done
	}
}

func (d *desk) apply(t *testing.T, body []byte) {
	t.Helper()
	if len(body) == 0 {
		return
	}
	if err := d.machine().Apply(log.Message{Sequence: d.state.tail + 1, Time: time.UnixMilli(1000), Body: body}); err != nil {
		t.Fatal(err)
	}
}

func TestTransactionsInAPartition(t *testing.T) {
	type step struct {
		b      batch.Batch
		number uint32
		err    error
		next   int64 // of the partition afterwards
		stable int64
	}
	const most = 1<<32 - 1
	for name, c := range map[string]struct {
		steps   []step
		aborted []Aborted
	}{
		"commit":               {steps: []step{{data(1, 0, 0, true), 5, nil, 2, 0}, {data(2, 0, 0, false), 0, nil, 4, 0}, {marker(1, 0, 5, true), 5, nil, 5, 5}}},
		"abort":                {steps: []step{{data(1, 0, 0, true), 5, nil, 2, 0}, {data(1, 0, 2, true), 5, nil, 4, 0}, {marker(1, 0, 5, false), 5, nil, 5, 5}}, aborted: []Aborted{{1, 0, 4, 5}}},
		"repeated marker":      {steps: []step{{data(1, 0, 0, true), 5, nil, 2, 0}, {marker(1, 0, 5, false), 5, nil, 3, 3}, {marker(1, 0, 5, false), 5, nil, 3, 3}, {marker(1, 0, 4, true), 4, nil, 3, 3}}, aborted: []Aborted{{1, 0, 2, 3}}},
		"late marker":          {steps: []step{{data(1, 0, 0, true), 5, nil, 2, 0}, {marker(1, 0, 4, false), 4, nil, 2, 0}}},
		"late batch":           {steps: []step{{marker(1, 0, 5, true), 5, nil, 1, 1}, {data(1, 0, 0, true), 5, ErrTransaction, 1, 1}, {data(1, 0, 0, true), 6, nil, 3, 1}}},
		"another's batch":      {steps: []step{{data(1, 0, 0, true), 5, nil, 2, 0}, {data(1, 0, 2, true), 6, ErrTransaction, 2, 0}, {data(1, 0, 2, false), 0, ErrTransaction, 2, 0}}},
		"numbers wrap":         {steps: []step{{marker(1, 0, most, true), most, nil, 1, 1}, {data(1, 0, 0, true), 0, nil, 3, 1}, {marker(1, 0, most, false), most, nil, 3, 1}, {marker(1, 0, 0, true), 0, nil, 4, 4}}},
		"TV2 raises the epoch": {steps: []step{{data(1, 3, 0, true), 5, nil, 2, 0}, {marker(1, 4, 5, true), 5, nil, 3, 3}, {data(1, 3, 2, true), 6, producer.ErrInvalidEpoch, 3, 3}, {data(1, 4, 2, true), 6, producer.ErrOutOfOrder, 3, 3}, {data(1, 4, 0, true), 6, nil, 5, 3}}},
		"TV1 leaves sequences": {steps: []step{{data(1, 3, 0, true), 5, nil, 2, 0}, {marker(1, 3, 5, true), 5, nil, 3, 3}, {data(1, 3, 2, true), 6, nil, 5, 3}}},
		"marker of the past":   {steps: []step{{data(1, 3, 0, true), 5, nil, 2, 0}, {marker(1, 2, 6, false), 6, producer.ErrInvalidEpoch, 2, 0}}},
		"two at once":          {steps: []step{{data(1, 0, 0, true), 1, nil, 2, 0}, {data(2, 0, 0, true), 1, nil, 4, 0}, {marker(1, 0, 1, false), 1, nil, 5, 2}, {marker(2, 0, 1, false), 1, nil, 6, 6}}, aborted: []Aborted{{1, 0, 4, 2}, {2, 2, 5, 6}}},
		"a duplicate":          {steps: []step{{data(1, 0, 0, true), 1, nil, 2, 0}, {data(1, 0, 0, true), 1, nil, 2, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, together := range []bool{false, true} {
				d := newDesk()
				var all []*Append
				for _, s := range c.steps {
					all = append(all, &Append{Batch: s.b, Number: s.number})
				}
				if together { // one message for all: what is decided is tentative
					d.commit(t, all...)
				}
				for i, s := range c.steps {
					if !together {
						d.commit(t, all[i])
						if p := d.state.partitions[0]; p.next != s.next || p.stable() != s.stable {
							t.Errorf("step %d: ends at %d, stable to %d", i, p.next, p.stable())
						}
					}
					if !errors.Is(all[i].Err, s.err) {
						t.Errorf("together %v, step %d: %v, want %v", together, i, all[i].Err, s.err)
					}
				}
				last := c.steps[len(c.steps)-1]
				if p := d.state.partitions[0]; p.next != last.next || p.stable() != last.stable || !slices.Equal(p.transactions.aborted, c.aborted) {
					t.Errorf("together %v: ends at %d, stable to %d, aborted %+v", together, p.next, p.stable(), p.transactions.aborted)
				}
			}
		})
	}
}

// event is a batch or marker of the model's log.
type event struct {
	base, next    int64
	id            int64
	epoch         int16
	number        uint32
	transactional bool
	marker        bool
	commit        bool
}

// history is the dumb model: everything that was ever written to a partition. Whatever is asked is found by going through all of it.
type history struct {
	events      []event
	start, next int64
}

func (h *history) open(id int64) (first event, open bool) {
	for _, e := range h.events {
		switch {
		case e.id != id:
		case e.marker:
			open = false
		case e.transactional && !open:
			first, open = e, true
		}
	}
	return first, open
}

func (h *history) ended(id int64, number uint32) bool {
	return slices.ContainsFunc(h.events, func(e event) bool { return e.marker && e.id == id && e.number >= number })
}

// sequence is the epoch and the sequence number that a producer goes on with.
func (h *history) sequence(id int64) (epoch int16, next int32) {
	for _, e := range h.events {
		if e.id != id {
			continue
		}
		if e.epoch != epoch {
			epoch, next = e.epoch, 0
		}
		if !e.marker {
			next += 2
		}
	}
	return epoch, next
}

// add says what is to become of an append.
func (h *history) add(a *Append) error {
	b := a.Batch
	m, control := b.Marker()
	e := event{h.next, h.next + 2, b.ProducerID(), b.ProducerEpoch(), a.Number, b.Transactional(), control, m.Commit}
	first, open := h.open(e.id)
	epoch, _ := h.sequence(e.id)
	switch {
	case control && (h.ended(e.id, e.number) || open && first.number > e.number):
		return nil
	case e.epoch < epoch:
		return producer.ErrInvalidEpoch
	case control:
		e.next = e.base + 1
	case !e.transactional && open, e.transactional && (h.ended(e.id, e.number) || open && first.number != e.number):
		return ErrTransaction
	}
	h.events, h.next = append(h.events, e), e.next
	return nil
}

func (h *history) stable() int64 {
	stable := h.next
	for id := range int64(4) {
		if e, open := h.open(id); open {
			stable = min(stable, e.base)
		}
	}
	return max(h.start, stable)
}

// abortedIn lists producers and first offsets.
func (h *history) abortedIn(from, to int64) (all [][2]int64) {
	for i, e := range h.events {
		past := history{events: h.events[:i]}
		if first, open := past.open(e.id); e.marker && !e.commit && open && e.base >= max(from, h.start) && first.base < to {
			all = append(all, [2]int64{e.id, first.base})
		}
	}
	return all
}

// appendOf makes something up: mostly what a producer would send, now and then what comes late, twice, or from a fenced one.
func (h *history) appendOf(random *rand.Rand) *Append {
	id := random.Int64N(4)
	epoch, sequence := h.sequence(id)
	first, open := h.open(id)
	number := first.number
	if !open {
		number = 1 + uint32(random.IntN(1+len(h.events)/3))
	}
	if random.IntN(10) == 0 {
		number += uint32(random.IntN(3)) - 1
	}
	if random.IntN(3) == 0 {
		epoch += int16(random.IntN(8) / 6) // TV2
		if random.IntN(20) == 0 && epoch > 0 {
			epoch--
		}
		return &Append{Batch: marker(id, epoch, number, random.IntN(2) == 0), Number: number}
	}
	if random.IntN(20) == 0 && epoch > 0 {
		epoch--
	}
	transactional := random.IntN(5) > 0
	if !transactional {
		number = 0
	}
	return &Append{Batch: data(id, epoch, sequence, transactional), Number: number}
}

// What two writers make of random appends, with foreign messages between deciding and writing, checkpoints and deletions, is what the
// model says of everything that was ever written.
func TestTransactionsAgainstAModel(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 9))
		one, two := newDesk(), newDesk()
		h := &history{}
		for round := range 60 {
			var first, second []*Append
			for range 1 + random.IntN(3) {
				first = append(first, h.appendOf(random))
			}
			for range random.IntN(3) {
				second = append(second, h.appendOf(random))
			}
			// each producer in one place only, so that sequence numbers are never what is refused
			seen := map[int64]bool{}
			once := func(a *Append) bool {
				was := seen[a.Batch.ProducerID()]
				seen[a.Batch.ProducerID()] = true
				return was && !a.Batch.Control()
			}
			second = slices.DeleteFunc(second, once)
			first = slices.DeleteFunc(first, once)
			for _, a := range first {
				a.Done = one.done
			}
			one.queue = append(one.queue, first...)
			early := one.machine().Build(0, 1<<20, 1<<20)
			if len(second) > 0 {
				foreign := two.state.tail
				two.commitTo(t, one, second)
				for _, a := range second {
					if want := h.add(a); !errors.Is(a.Err, want) {
						t.Fatalf("seed %d, round %d: %v, want %v", seed, round, a.Err, want)
					}
				}
				if two.state.tail != foreign && early != nil {
					one.machine().Conflict(false)
					early = one.machine().Build(0, 1<<20, 1<<20)
				}
			}
			one.apply(t, early)
			two.apply(t, early)
			if early != nil {
				one.machine().Committed(time.Now())
			}
			for range first {
				<-one.done
			}
			for _, a := range first {
				if want := h.add(a); !errors.Is(a.Err, want) {
					t.Fatalf("seed %d, round %d: %v, want %v", seed, round, a.Err, want)
				}
			}
			if random.IntN(10) == 0 && h.next > 0 {
				h.start = max(h.start, random.Int64N(h.next))
				body := appendTable(nil, []Entry{{Base: h.next, Next: h.next, Start: h.start}})
				one.apply(t, body)
				two.apply(t, body)
			}
			h.compare(t, random, one, two)
			if random.IntN(8) == 0 {
				fresh := newDesk()
				if err := fresh.machine().Restore(one.machine().Checkpoint(nil)); err != nil {
					t.Fatal(err)
				}
				two = fresh
			}
		}
	}
}

// commitTo commits appends, and has the other log hear of it.
func (d *desk) commitTo(t *testing.T, other *desk, appends []*Append) {
	t.Helper()
	for _, a := range appends {
		a.Done = d.done
	}
	d.queue = append(d.queue, appends...)
	record := d.machine().Build(0, 1<<20, 1<<20)
	d.apply(t, record)
	other.apply(t, record)
	if record != nil {
		d.machine().Committed(time.Now())
	}
	for range appends {
		<-d.done
	}
}

func (h *history) compare(t *testing.T, random *rand.Rand, one, two *desk) {
	t.Helper()
	p := one.state.partitions[0]
	if p == nil {
		return
	}
	if p.next != h.next || p.start != h.start || p.stable() != h.stable() {
		t.Fatalf("ends %d, %d, stable %d; want %d, %d, %d", p.start, p.next, p.stable(), h.start, h.next, h.stable())
	}
	if !bytes.Equal(one.state.append(nil), two.state.append(nil)) {
		t.Fatal("two logs differ that have seen the same")
	}
	if a := p.transactions.aborted; len(a) > 0 && a[0].Last < h.start {
		t.Fatalf("%+v is kept below the start %d", a[0], h.start)
	}
	stable := h.stable()
	if stable == h.start {
		return
	}
	from := h.start + random.Int64N(stable-h.start)
	to := from + 1 + random.Int64N(stable-from)
	var got [][2]int64
	for _, a := range p.transactions.abortedIn(from, to) {
		got = append(got, [2]int64{a.ProducerID, a.First})
	}
	if want := h.abortedIn(from, to); !slices.Equal(got, want) {
		t.Fatalf("aborted in [%d, %d): %v, want %v", from, to, got, want)
	}
}

// The checkpoint before transactions is understood.
func TestOlderCheckpoint(t *testing.T) {
	d := newDesk()
	d.commit(t, &Append{Batch: data(1, 0, 0, false)})
	written := d.state.append(nil)
	old := slices.Clone(written[:len(written)-8]) // neither producers with transactions nor aborted ones
	old[3] = beforeTransactions
	read, err := parseCheckpoint(old)
	if err != nil || !bytes.Equal(read.append(nil), written) {
		t.Fatalf("%+v, %v", read, err)
	}
}

// Producers that are idle are forgotten with what they ended, but not while a transaction is open.
func TestOpenTransactionsDoNotExpire(t *testing.T) {
	d := newDesk()
	d.commit(t, &Append{Batch: data(1, 0, 0, true), Number: 1}, &Append{Batch: marker(2, 0, 1, true), Number: 1})
	d.state.newest += 2 * time.Hour.Milliseconds()
	d.machine().Checkpoint(nil)
	p := d.state.partitions[0]
	if len(p.producers) != 1 || len(p.transactions.producers) != 1 || !p.transactions.producers[1].open {
		t.Fatalf("%+v, %+v", p.producers, p.transactions.producers)
	}
}

// A fetch of what is committed sleeps until a transaction has ended; one of everything does not.
func TestWaitersForTheStableOffset(t *testing.T) {
	d := newDesk()
	d.commit(t, &Append{Batch: data(1, 0, 0, true), Number: 1})
	woken := func(w *Waiter) bool {
		select {
		case <-w.C():
			return true
		default:
			return false
		}
	}
	all, committed := NewWaiter(50), NewWaiter(1<<20)
	committed.Stable = true
	d.Watch(0, 2, all)
	d.Watch(0, 0, committed)
	d.commit(t, &Append{Batch: data(2, 0, 0, false)})
	if !woken(all) || woken(committed) {
		t.Fatal("records behind an open transaction")
	}
	d.commit(t, &Append{Batch: marker(1, 0, 1, true), Number: 1})
	if !woken(committed) {
		t.Fatal("not woken by the marker")
	}
	few := NewWaiter(100)
	few.Stable = true
	d.Watch(0, 5, few)
	size := len(data(2, 0, 2, false))
	for i := range int32(100/size + 1) {
		if woken(few) {
			t.Fatalf("woken after %d bytes", int(i)*size)
		}
		d.commit(t, &Append{Batch: data(2, 0, 2+2*i, false)})
	}
	if !woken(few) {
		t.Fatal("not woken by stable records")
	}
	late := NewWaiter(1 << 20)
	late.Stable = true
	d.Watch(0, 0, late)
	if !woken(late) {
		t.Fatal("what came before does not count")
	}
}
