package topiclog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/log"
	"kanal/libs/log/logtest"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
	"kanal/services/records/internal/topiclog"
)

func open(t *testing.T, s log.Storage, cache *topiclog.Cache, tune func(*log.Config)) *topiclog.Log {
	t.Helper()
	if cache == nil {
		cache = topiclog.NewCache(8<<20, nil)
	}
	l, err := topiclog.Open(context.Background(), topiclog.Config{Name: "test", Storage: s, Cache: cache, LeaderEpoch: func() int32 { return 3 },
		Log: slog.New(slog.DiscardHandler), Tune: tune})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// newBatch is a batch of n records, the first of which has the payload as value and millis as timestamp, later ones one more each.
func newBatch(producerID int64, epoch int16, sequence int32, n int, millis int64, payload []byte) batch.Batch {
	var records []byte
	for i := range n {
		r := kmsg.NewRecord()
		r.OffsetDelta, r.TimestampDelta64, r.Value = int32(i), int64(i), payload
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
	}
	rb := kmsg.RecordBatch{Length: int32(49 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), FirstTimestamp: millis,
		MaxTimestamp: millis + int64(n) - 1, ProducerID: producerID, ProducerEpoch: epoch, FirstSequence: sequence, NumRecords: int32(n), Records: records}
	return rb.AppendTo(nil)
}

// plain is a batch without a producer id.
func plain(n int, payload []byte) batch.Batch { return newBatch(-1, -1, -1, n, 1000, payload) }

func start(l *topiclog.Log, partition int32, b batch.Batch) <-chan *topiclog.Append {
	done := make(chan *topiclog.Append, 1)
	l.Append(&topiclog.Append{Partition: partition, Batch: b, Done: done})
	return done
}

func appendTo(l *topiclog.Log, partition int32, b batch.Batch) (int64, error) {
	a := <-start(l, partition, b)
	return a.Base, a.Err
}

func mustAppend(t *testing.T, l *topiclog.Log, partition int32, b batch.Batch) int64 {
	t.Helper()
	base, err := appendTo(l, partition, b)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// readAll reads a partition from an offset to its end.
func readAll(t *testing.T, l *topiclog.Log, partition int32, offset int64, max int) []batch.Batch {
	t.Helper()
	var all []batch.Batch
	for {
		c, err := l.Read(context.Background(), partition, offset, max, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Batches) == 0 {
			return all
		}
		all = append(all, c.Batches...)
		offset = all[len(all)-1].NextOffset()
	}
}

func TestBatchesStayAsTheyAre(t *testing.T) {
	l := open(t, logtest.NewStream(1, logtest.Faults{}), nil, nil)
	sent := newBatch(9, 0, 0, 3, 1000, []byte("payload"))
	mustAppend(t, l, 4, plain(2, nil))
	if base := mustAppend(t, l, 4, sent); base != 2 {
		t.Fatalf("base offset %d", base)
	}
	got := readAll(t, l, 4, 3, 1<<20) // from the middle of the second
	if len(got) != 1 || got[0].BaseOffset() != 2 || got[0].LeaderEpoch() != 3 || !bytes.Equal(got[0][16:], sent[16:]) || !bytes.Equal(got[0][8:12], sent[8:12]) {
		t.Fatalf("got %x\nsent %x", got, []byte(sent))
	}
	if l.EpochOf(4, 3) != 3 || l.EpochOf(5, 0) != -1 {
		t.Error("leader epochs are not remembered")
	}
}

func TestReadLimits(t *testing.T) {
	l := open(t, logtest.NewStream(1, logtest.Faults{}), nil, nil)
	b := plain(1, make([]byte, 1000))
	for range 10 {
		mustAppend(t, l, 0, b)
	}
	ctx := context.Background()
	for _, c := range []struct {
		offset int64
		max    int
		first  bool
		want   int
	}{{0, 1 << 20, true, 10}, {3, 1 << 20, false, 7}, {0, 3*len(b) - 1, true, 2}, {0, 5, true, 1}, {0, 5, false, 0}, {0, 0, true, 1}, {10, 1 << 20, true, 0}} {
		got, err := l.Read(ctx, 0, c.offset, c.max, c.first)
		if err != nil || len(got.Batches) != c.want || got.Offsets != (topiclog.Offsets{Next: 10}) {
			t.Errorf("from %d, %d bytes, first %v: %d batches, %+v, %v", c.offset, c.max, c.first, len(got.Batches), got.Offsets, err)
		}
	}
	for _, offset := range []int64{-1, 11} {
		if _, err := l.Read(ctx, 0, offset, 1, true); !errors.Is(err, topiclog.ErrOutOfRange) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
}

// Everything is read back whatever is in memory, by places known and by scanning, and after the log was opened again.
func TestReadFromAnywhere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := logtest.NewStream(1, logtest.Faults{})
	few := func(c *log.Config) { c.CheckpointBytes = 300 << 10 }
	l := open(t, s, topiclog.NewCache(1<<20, nil), few)
	var ends [3][]int64 // base offsets
	var next [3]int64
	for i := range 1500 {
		p := random.IntN(3)
		n := 1 + random.IntN(3)
		payload := make([]byte, random.IntN(6000))
		binary.BigEndian.PutUint32(append(payload[:0:0], 0, 0, 0, 0), uint32(i))
		if base := mustAppend(t, l, int32(p), plain(n, payload)); base != next[p] {
			t.Fatalf("base %d, want %d", base, next[p])
		}
		ends[p] = append(ends[p], next[p])
		next[p] += int64(n)
	}
	check := func(l *topiclog.Log) {
		for p := range 3 {
			for range 50 {
				at := random.IntN(len(ends[p]))
				offset := ends[p][at]
				if at+1 < len(ends[p]) {
					offset = ends[p][at] + random.Int64N(ends[p][at+1]-ends[p][at])
				}
				got, err := l.Read(context.Background(), int32(p), offset, 20000, true)
				if err != nil || got.Batches[0].BaseOffset() != ends[p][at] {
					t.Fatalf("partition %d, offset %d: %v, %v", p, offset, got, err)
				}
				for i, b := range got.Batches {
					if b.BaseOffset() != ends[p][at+i] {
						t.Fatalf("partition %d: batch %d after offset %d begins at %d", p, i, offset, b.BaseOffset())
					}
				}
			}
			if got := readAll(t, l, int32(p), 0, 50000); len(got) != len(ends[p]) {
				t.Fatalf("partition %d: %d batches of %d", p, len(got), len(ends[p]))
			}
		}
	}
	check(l)
	l.Close()
	check(open(t, s, topiclog.NewCache(1<<20, nil), few))
}

func TestIdempotence(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	l := open(t, s, nil, nil)
	first, second := newBatch(5, 0, 0, 3, 0, nil), newBatch(5, 0, 3, 1, 0, nil)
	mustAppend(t, l, 0, plain(7, nil))
	if base := mustAppend(t, l, 0, first); base != 7 {
		t.Fatalf("base %d", base)
	}
	if _, err := appendTo(l, 0, newBatch(5, 0, 4, 1, 0, nil)); !errors.Is(err, producer.ErrOutOfOrder) {
		t.Fatalf("a gap: %v", err)
	}
	mustAppend(t, l, 0, second)
	mustAppend(t, l, 1, newBatch(5, 0, 17, 1, 0, nil)) // another partition knows nothing of it
	l.Close()
	l = open(t, s, nil, nil)
	if base := mustAppend(t, l, 0, first); base != 7 {
		t.Fatalf("duplicate after a restart at %d", base)
	}
	mustAppend(t, l, 0, newBatch(5, 1, 0, 1, 0, nil))
	if _, err := appendTo(l, 0, newBatch(5, 0, 4, 1, 0, nil)); !errors.Is(err, producer.ErrInvalidEpoch) {
		t.Fatalf("an older epoch: %v", err)
	}
	if got := l.Offsets(0); got.Next != 12 {
		t.Fatalf("ends at %d", got.Next)
	}
}

// gate holds appends back until it is opened.
type gate struct {
	log.Storage
	open chan struct{}
}

func (g *gate) Append(ctx context.Context, checkpoint bool, record []byte, last uint64) error {
	<-g.open
	return g.Storage.Append(ctx, checkpoint, record, last)
}

func TestDuplicateInFlightWaits(t *testing.T) {
	g := &gate{logtest.NewStream(1, logtest.Faults{}), make(chan struct{})}
	l := open(t, g, nil, nil)
	b := newBatch(5, 0, 0, 3, 0, nil)
	var all []<-chan *topiclog.Append
	for range 4 {
		all = append(all, start(l, 0, b))
	}
	gap := start(l, 0, newBatch(5, 0, 9, 1, 0, nil))
	for i, done := range append(all, gap) {
		select {
		case <-done:
			t.Fatalf("append %d was answered before anything was committed", i)
		default:
		}
	}
	close(g.open)
	for i, done := range all {
		if a := <-done; a.Err != nil || a.Base != 0 {
			t.Fatalf("append %d: %d, %v", i, a.Base, a.Err)
		}
	}
	if a := <-gap; !errors.Is(a.Err, producer.ErrOutOfOrder) {
		t.Fatal(a.Err)
	}
	if got := readAll(t, l, 0, 0, 1<<20); len(got) != 1 {
		t.Fatalf("%d batches", len(got))
	}
}

func TestGroupCommit(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	g := &gate{s, make(chan struct{}, 10)}
	l := open(t, g, nil, nil)
	first := start(l, 0, plain(1, nil))
	var all []<-chan *topiclog.Append
	for i := range 100 {
		all = append(all, start(l, int32(i%7), plain(1, make([]byte, 1000))))
	}
	large := start(l, 0, plain(1, make([]byte, 700<<10)))
	close(g.open)
	<-first
	for _, done := range all {
		if a := <-done; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if a := <-large; a.Err != nil {
		t.Fatalf("a large batch alone: %v", a.Err)
	}
	if n := len(s.Records()); n > 4 {
		t.Fatalf("102 batches took %d messages", n)
	}
	if a := <-start(l, 0, plain(1, make([]byte, 2<<20))); !errors.Is(a.Err, log.ErrTooLarge) {
		t.Fatalf("a batch beyond the message size: %v", a.Err)
	}
}

func TestCanceledBatchesLeaveTheQueue(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	g := &gate{s, make(chan struct{})}
	l := open(t, g, nil, nil)
	first := start(l, 0, plain(1, nil))
	done := make(chan *topiclog.Append, 1)
	a := &topiclog.Append{Batch: plain(1, nil), Done: done}
	l.Append(a)
	l.Cancel(a)
	close(g.open)
	<-first
	if got := <-done; got.Err != nil && !errors.Is(got.Err, topiclog.ErrCanceled) {
		t.Fatal(got.Err)
	} else if n := l.Offsets(0).Next; (got.Err == nil) != (n == 2) {
		t.Fatalf("said %v, and the partition ends at %d", got.Err, n)
	}
}

func TestWaitersWakeByTheCommit(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	l, other := open(t, s, nil, nil), open(t, s, nil, nil)
	b := plain(1, make([]byte, 100))
	w := topiclog.NewWaiter(2 * len(b))
	l.Watch(0, 0, w)
	l.Watch(1, 0, w)
	mustAppend(t, l, 0, b)
	mustAppend(t, l, 2, b)
	select {
	case <-w.C():
		t.Fatal("woken with half of the bytes")
	default:
	}
	mustAppend(t, other, 1, b) // by another writer: the feed tells
	<-w.C()
	l.Unwatch(0, w)
	late := topiclog.NewWaiter(1 << 30)
	l.Watch(0, 0, late) // what came since it was looked at counts
	<-late.C()
	ended := topiclog.NewWaiter(1)
	l.Watch(3, 0, ended)
	l.Close()
	<-ended.C()
	after := topiclog.NewWaiter(1)
	l.Watch(3, 0, after)
	<-after.C()
}

func TestFindByTime(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	l := open(t, s, topiclog.NewCache(1<<20, nil), nil)
	ctx := context.Background()
	if _, ok, err := l.Latest(ctx, 0); ok || err != nil {
		t.Fatalf("an empty partition has a latest record: %v", err)
	}
	for i := range int64(800) { // ten records each, in steps of 100 ms
		mustAppend(t, l, 0, newBatch(-1, -1, -1, 10, i*100, make([]byte, 300)))
		mustAppend(t, l, 1, newBatch(-1, -1, -1, 1, 1<<40, make([]byte, 300)))
	}
	for millis, want := range map[int64]batch.Found{-1: {Offset: 0, Timestamp: 0}, 0: {Offset: 0, Timestamp: 0}, 5: {Offset: 5, Timestamp: 5}, 10: {Offset: 10, Timestamp: 100},
		40004: {Offset: 4004, Timestamp: 40004}, 79909: {Offset: 7999, Timestamp: 79909}} {
		if got, ok, err := l.AtOrAfter(ctx, 0, millis); err != nil || !ok || got != want {
			t.Errorf("at %d: %+v, %v, %v", millis, got, ok, err)
		}
	}
	if _, ok, err := l.AtOrAfter(ctx, 0, 79910); ok || err != nil {
		t.Errorf("after the end: %v, %v", ok, err)
	}
	if got, ok, err := l.Latest(ctx, 0); err != nil || !ok || got != (batch.Found{Offset: 7999, Timestamp: 79909}) {
		t.Errorf("latest: %+v, %v, %v", got, ok, err)
	}
}

// A holder that was cut off from the feed and the stream's last records refuses nothing that the log does not confirm.
// An instance slept while another appended what its producer sent next: when it
// wakes, what it had in hand, which has no sequence numbers, is not appended
// behind.
func TestOvertakenBatchesAreNotAppended(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	deaf := func(c *log.Config) { c.Silence = time.Hour }
	g := &gate{s, make(chan struct{})}
	old, fresh := open(t, g, nil, deaf), open(t, s, nil, deaf)
	var slept atomic.Bool
	done := make(chan *topiclog.Append, 2)
	for range 2 { // one is on its way, one waits for its turn
		old.Append(&topiclog.Append{Batch: plain(1, nil), Done: done, Overtaken: slept.Load})
	}
	mustAppend(t, fresh, 0, plain(1, nil))
	slept.Store(true)
	close(g.open)
	for range 2 {
		if got := <-done; !errors.Is(got.Err, topiclog.ErrCanceled) {
			t.Fatalf("an overtaken batch ended with %v at %d", got.Err, got.Base)
		}
	}
	if base := mustAppend(t, old, 0, plain(1, nil)); base != 1 {
		t.Fatalf("the next batch stands at %d", base)
	}
}

func TestRefusalsRestOnAConfirmedTail(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	deaf := func(c *log.Config) { c.Silence = time.Hour }
	old, fresh := open(t, s, nil, deaf), open(t, s, nil, deaf)
	mustAppend(t, fresh, 0, newBatch(5, 0, 0, 3, 0, nil))
	if base := mustAppend(t, old, 0, newBatch(5, 0, 3, 1, 0, nil)); base != 3 { // for all it knew there was no producer 5
		t.Fatalf("base %d", base)
	}
	if base := mustAppend(t, fresh, 0, newBatch(5, 0, 4, 1, 0, nil)); base != 4 { // a gap, for all it knew
		t.Fatalf("base %d", base)
	}
	if _, err := old.Read(context.Background(), 0, 5, 1, true); !errors.Is(err, topiclog.ErrOutOfRange) {
		t.Fatalf("the old holder knows of offset 5: %v", err)
	}
	if err := old.Confirm(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Read(context.Background(), 0, 5, 1, true); err != nil {
		t.Fatal(err)
	}
}

// Two instances believe that they hold a log; publishes, answers and feeds get lost, and replicas are behind. Clients send each batch
// until it is acknowledged, to either. In the end everything acknowledged is there once, at its offset, in order.
func TestWritersFight(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			fight(t, seed)
		})
	}
}

type acked struct {
	partition int32
	base      int64
	payload   string
}

func fight(t *testing.T, seed uint64) {
	const producers, rounds, partitions = 6, 150, 3
	s := logtest.NewStream(seed, logtest.Faults{LostRequest: .05, LostAck: .1, Delayed: .1, LostFeed: .2, Behind: .1})
	tune := func(c *log.Config) {
		c.Silence, c.CheckpointMessages, c.CheckpointBytes = 20*time.Millisecond, 40, 200<<10
	}
	logs := []*topiclog.Log{open(t, s, topiclog.NewCache(1<<20, nil), tune), open(t, s, topiclog.NewCache(1<<20, nil), tune)}
	var mu sync.Mutex
	var all []acked
	var wait sync.WaitGroup
	for id := range producers {
		random := rand.New(rand.NewPCG(seed, uint64(id)+100))
		wait.Go(func() {
			p, sequence := int32(id%partitions), int32(0)
			for i := range rounds {
				n := 1 + random.IntN(3)
				payload := fmt.Sprintf("producer %d batch %d ", id, i)
				b := newBatch(int64(id), 0, sequence, n, 0, append([]byte(payload), make([]byte, random.IntN(2000))...))
				base, err := appendTo(logs[random.IntN(2)], p, b)
				if err == nil && random.IntN(5) == 0 { // the answer is lost on the way to the client
					again, err := appendTo(logs[random.IntN(2)], p, b)
					if err != nil || again != base {
						t.Errorf("%s: at %d, and again at %d, %v", payload, base, again, err)
					}
				}
				if err != nil {
					t.Errorf("%s: %v", payload, err)
					return
				}
				sequence += int32(n)
				mu.Lock()
				all = append(all, acked{p, base, payload})
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	s.SetFaults(logtest.Faults{})
	l := open(t, s, nil, tune)
	found := map[acked]int{}
	for p := range int32(partitions) {
		next, last := int64(0), map[int64]int32{}
		for _, b := range readAll(t, l, p, 0, 100<<10) {
			if b.BaseOffset() != next {
				t.Fatalf("partition %d: offset %d follows %d", p, b.BaseOffset(), next)
			}
			if want := last[b.ProducerID()]; b.BaseSequence() != want {
				t.Fatalf("partition %d: sequence %d of producer %d, want %d", p, b.BaseSequence(), b.ProducerID(), want)
			}
			last[b.ProducerID()] = b.BaseSequence() + b.Count()
			next = b.NextOffset()
			at := bytes.Index(b.Records(), []byte("producer "))
			end := at + bytes.Index(b.Records()[at:], []byte(" batch ")) + len(" batch ")
			end += bytes.IndexByte(b.Records()[end:], ' ') + 1
			found[acked{p, b.BaseOffset(), string(b.Records()[at:end])}]++
		}
	}
	if len(found) != len(all) || len(all) != producers*rounds {
		t.Errorf("%d batches acknowledged, %d stored", len(all), len(found))
	}
	for _, a := range all {
		if found[a] != 1 {
			t.Errorf("acknowledged %+v is there %d times", a, found[a])
		}
	}
}
