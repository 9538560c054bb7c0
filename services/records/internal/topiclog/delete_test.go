package topiclog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kanal/libs/log"
	"kanal/libs/log/logtest"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/topiclog"
)

func deleteBefore(l *topiclog.Log, partition int32, before int64) (int64, error) {
	done := make(chan *topiclog.Delete, 1)
	l.Delete(&topiclog.Delete{Partition: partition, Before: before, Done: done})
	d := <-done
	return d.Start, d.Err
}

func TestDelete(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	l := open(t, s, nil, nil)
	ctx := context.Background()
	for i := range int64(10) {
		mustAppend(t, l, 0, newBatch(-1, -1, -1, 5, 1000*i, nil))
	}
	for _, c := range []struct {
		partition     int32
		before, start int64
		err           error
	}{
		{0, 7, 7, nil}, {0, 3, 7, nil}, {0, 51, 7, topiclog.ErrOutOfRange}, {0, -2, 7, topiclog.ErrOutOfRange},
		{1, topiclog.End, 0, nil}, {1, 1, 0, topiclog.ErrOutOfRange}, {0, 7, 7, nil},
	} {
		if start, err := deleteBefore(l, c.partition, c.before); start != c.start || !errors.Is(err, c.err) {
			t.Errorf("partition %d before %d: start %d, %v", c.partition, c.before, start, err)
		}
	}
	if _, err := l.Read(ctx, 0, 6, 1, true); !errors.Is(err, topiclog.ErrOutOfRange) {
		t.Errorf("below the start: %v", err)
	}
	if got := readAll(t, l, 0, 7, 1<<20); len(got) != 9 || got[0].BaseOffset() != 5 {
		t.Errorf("from the start: %d batches", len(got))
	}
	if f, ok, err := l.AtOrAfter(ctx, 0, 0); err != nil || !ok || f != (batch.Found{Offset: 7, Timestamp: 1002}) {
		t.Errorf("the first record is %+v, %v, %v", f, ok, err)
	}
	if start, err := deleteBefore(l, 0, topiclog.End); start != 50 || err != nil {
		t.Errorf("everything: %d, %v", start, err)
	}
	if _, ok, err := l.Latest(ctx, 0); ok || err != nil {
		t.Errorf("an empty partition has a latest record, %v", err)
	}
	if base := mustAppend(t, l, 0, plain(1, nil)); base != 50 {
		t.Errorf("the next record is at %d", base)
	}
	l.Close()
	if _, err := deleteBefore(l, 0, 1); !errors.Is(err, log.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if got := open(t, s, nil, nil).Offsets(0); got != (topiclog.Offsets{Start: 50, Next: 51}) {
		t.Errorf("opened again: %+v", got)
	}
}

// A fetch that waits at an offset that goes is woken.
func TestDeletionsWakeFetches(t *testing.T) {
	l := open(t, logtest.NewStream(1, logtest.Faults{}), nil, nil)
	mustAppend(t, l, 0, plain(1, nil))
	w := topiclog.NewWaiter(1 << 20)
	l.Watch(0, 1, w)
	if _, err := deleteBefore(l, 0, 1); err != nil {
		t.Fatal(err)
	}
	<-w.C()
}

// What was given up while the stream was away is not done later.
func TestDeletionsThatAreGivenUp(t *testing.T) {
	g := &gate{logtest.NewStream(1, logtest.Faults{}), make(chan struct{}, 10)}
	l := open(t, g, nil, nil)
	g.open <- struct{}{}
	mustAppend(t, l, 0, plain(3, nil))
	first := start(l, 0, plain(1, nil)) // on its way, or about to be
	done := make(chan *topiclog.Delete, 1)
	d := &topiclog.Delete{Partition: 0, Before: 2, Done: done}
	l.Delete(d)
	l.GiveUp(d)
	close(g.open)
	<-first
	if err := l.Confirm(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done: // its turn had come before it was given up
	default:
		if got := l.Offsets(0); got.Start != 0 {
			t.Errorf("starts at %d", got.Start)
		}
	}
}

// A holder that is behind refuses no deletion that the log does not confirm to be out of range.
func TestDeleteOutOfRangeRestsOnAConfirmedTail(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	deaf := func(c *log.Config) { c.Silence = time.Hour }
	old, fresh := open(t, s, nil, deaf), open(t, s, nil, deaf)
	mustAppend(t, fresh, 0, plain(3, nil))
	if start, err := deleteBefore(old, 0, 2); start != 2 || err != nil {
		t.Fatalf("start %d, %v", start, err)
	}
}

// Retention gives the space back: of an idle log too, all but the last message and a checkpoint, and offsets go on where they were.
func TestRetentionFreesTheStream(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	soon := func(c *log.Config) { c.CheckpointInterval = time.Millisecond }
	l := open(t, s, nil, soon)
	for range 200 {
		mustAppend(t, l, 0, plain(10, make([]byte, 1000))) // all of them from 1970
	}
	if err := l.Retain(context.Background(), topiclog.KeepAll); err != nil || l.Offsets(0).Start != 0 {
		t.Fatalf("deleted what was to be kept: %+v, %v", l.Offsets(0), err)
	}
	if at, ok := l.Expiry(topiclog.Retention{Time: time.Hour, Bytes: -1}); !ok || at.UnixMilli() != 1009+3600_000 {
		t.Errorf("expires at %v, %v", at, ok)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if err := l.Retain(context.Background(), topiclog.Retention{Time: time.Hour, Bytes: -1}); err != nil {
			t.Fatal(err)
		}
		if len(s.Records()) <= 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d records are left", len(s.Records()))
		}
	}
	if got := l.Offsets(0); got != (topiclog.Offsets{Start: 2000, Next: 2000}) || l.Size(0) != 0 {
		t.Fatalf("ends %+v, size %d", got, l.Size(0))
	}
	if _, ok := l.Expiry(topiclog.Retention{Time: time.Hour, Bytes: -1}); ok {
		t.Error("nothing is left and yet something is to go")
	}
	l.Close()
	if base := mustAppend(t, open(t, s, nil, soon), 0, plain(1, nil)); base != 2000 {
		t.Fatalf("goes on at %d", base)
	}
}

// deletionModel is a partition of the dumb model: all its batches, and where it starts.
type deletionModel struct {
	batches []batch.Batch
	start   int64
	next    int64
}

// What two holders who fight append, delete and let go is what a list of all batches says, whatever was purged meanwhile.
func TestDeletionsAgainstAModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			deletions(t, seed)
		})
	}
}

func deletions(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	s := logtest.NewStream(seed, logtest.Faults{LostRequest: .03, LostAck: .05, LostFeed: .2, Behind: .1})
	tune := func(c *log.Config) {
		c.Silence, c.CheckpointMessages, c.CheckpointBytes, c.CheckpointInterval = 20*time.Millisecond, 30, 300<<10, time.Millisecond
	}
	fresh := func() *topiclog.Log { return open(t, s, topiclog.NewCache(1<<20, nil), tune) }
	logs := []*topiclog.Log{fresh(), fresh()}
	var model [3]deletionModel
	ctx := context.Background()
	for i := range 500 {
		l, p := logs[random.IntN(2)], random.IntN(3)
		m := &model[p]
		switch n := random.IntN(100); {
		case n < 80:
			b := newBatch(1, 0, int32(m.next), 1+random.IntN(4), 1000*int64(i)+random.Int64N(20000), make([]byte, random.IntN(8000)))
			if base := mustAppend(t, l, int32(p), b); base != m.next {
				t.Fatalf("base %d, want %d", base, m.next)
			}
			b.SetPlace(m.next, 3)
			m.batches, m.next = append(m.batches, b), b.NextOffset()
		case n < 86:
			before := m.start + random.Int64N(max(1, m.next-m.start+3))
			start, err := deleteBefore(l, int32(p), before)
			if before <= m.next {
				m.start = before
			}
			if start != m.start || (err != nil) != (before > m.next) {
				t.Fatalf("before %d of %d: start %d, %v, want %d", before, m.next, start, err, m.start)
			}
		case n < 90:
			if err := l.Confirm(ctx, 0); err != nil { // by what it knows it may delete less
				t.Fatal(err)
			}
			if err := l.Retain(ctx, topiclog.Retention{Time: -1, Bytes: 500_000}); err != nil {
				t.Fatal(err)
			}
			for p := range model {
				model[p].retained(t, l.Offsets(int32(p)), l.Size(int32(p)))
			}
		case n < 92:
			k := random.IntN(2)
			logs[k].Close()
			logs[k] = fresh()
		default:
			m.compare(t, l, int32(p), random)
		}
	}
	last := fresh()
	for p := range model {
		model[p].compare(t, last, int32(p), random)
	}
	for p := range model {
		if start, err := deleteBefore(last, int32(p), topiclog.End); start != model[p].next || err != nil {
			t.Fatalf("partition %d: all but %d of %d, %v", p, start, model[p].next, err)
		}
	}
	s.SetFaults(logtest.Faults{})
	for end := time.Now().Add(20 * time.Second); len(s.Records()) > 4; time.Sleep(time.Millisecond) {
		if err := last.Retain(ctx, topiclog.KeepAll); err != nil || time.Now().After(end) {
			t.Fatalf("%d records are left, %v", len(s.Records()), err)
		}
	}
}

// retained takes over where retention has a partition start.
func (m *deletionModel) retained(t *testing.T, got topiclog.Offsets, size int64) {
	t.Helper()
	if got.Start < m.start || got.Start > m.start && size < 500_000 {
		t.Fatalf("retention went from %d to %d and left %d bytes", m.start, got.Start, size)
	}
	m.start = got.Start
}

func (m *deletionModel) live() (live []batch.Batch) {
	for _, b := range m.batches {
		if b.NextOffset() > m.start {
			live = append(live, b)
		}
	}
	return live
}

// compare asks for everything that can be asked of a partition.
func (m *deletionModel) compare(t *testing.T, l *topiclog.Log, number int32, random *rand.Rand) {
	t.Helper()
	ctx := context.Background()
	if err := l.Confirm(ctx, 0); err != nil { // it may know less than the other, or have been opened by a replica that is behind
		t.Fatal(err)
	}
	if got := l.Offsets(number); got != (topiclog.Offsets{Start: m.start, Next: m.next}) {
		t.Fatalf("partition %d: %+v, want %d to %d", number, got, m.start, m.next)
	}
	if _, err := l.Read(ctx, number, m.start-1, 1, true); !errors.Is(err, topiclog.ErrOutOfRange) {
		t.Fatalf("partition %d: below the start: %v", number, err)
	}
	live := m.live()
	got := readAll(t, l, number, m.start, 200<<10)
	if len(got) != len(live) {
		t.Fatalf("partition %d: %d batches, want %d", number, len(got), len(live))
	}
	for i := range got {
		if string(got[i]) != string(live[i]) {
			t.Fatalf("partition %d: batch %d at %d is not what was sent", number, i, got[i].BaseOffset())
		}
	}
	var first, latest batch.Found
	found, any, millis := false, false, random.Int64N(1_200_000)
	for _, b := range live {
		for i := range int64(b.Count()) {
			f := batch.Found{Offset: b.BaseOffset() + i, Timestamp: b.BaseTimestamp() + i}
			if f.Offset < m.start {
				continue
			}
			if !found && f.Timestamp >= millis {
				first, found = f, true
			}
			if !any || f.Timestamp > latest.Timestamp {
				latest, any = f, true
			}
		}
	}
	if f, ok, err := l.AtOrAfter(ctx, number, millis); err != nil || ok != found || f != first {
		t.Fatalf("partition %d: at %d %+v, %v, %v, want %+v", number, millis, f, ok, err, first)
	}
	if f, ok, err := l.Latest(ctx, number); err != nil || ok != any || f != latest {
		t.Fatalf("partition %d: latest %+v, %v, %v, want %+v", number, f, ok, err, latest)
	}
}
