package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

func newTransactional(t *testing.T, on target, id, topic string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return newClient(t, on, append([]kgo.Opt{
		kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.TransactionTimeout(30 * time.Second), kgo.ProducerBatchMaxBytes(1 << 10),
	}, opts...)...)
}

// produceOpen begins a transaction and has records in it stored.
func produceOpen(t *testing.T, cl *kgo.Client, values ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		cl.Produce(t.Context(), kgo.StringRecord(v), nil)
	}
	if err := cl.Flush(limited(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func endTransaction(t *testing.T, cl *kgo.Client, how kgo.TransactionEndTry) {
	t.Helper()
	if err := cl.EndTransaction(limited(t, 30*time.Second), how); err != nil {
		t.Fatal(err)
	}
}

// committed reads a topic with read_committed up to what was committed when it was called, by how often each value came.
func committed(t *testing.T, on target, topic string) map[string]int {
	t.Helper()
	cl := newClient(t, on, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer cl.Close()
	left := offsetsOf(t, topic, kadm.NewClient(newClient(t, on)).ListCommittedOffsets)
	values := map[string]int{}
	for p, end := range left {
		if end == 0 {
			delete(left, p)
		}
	}
	ctx := limited(t, time.Minute)
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%v with %v to come, after %d values", err, left, len(values))
		}
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			for _, r := range f.Records {
				if !r.Attrs.IsControl() {
					values[string(r.Value)]++
				}
				if r.Offset+1 >= left[r.Partition] {
					delete(left, r.Partition)
				}
			}
		})
	}
	return values
}

func requireValues(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	for _, v := range want {
		if got[v] != 1 {
			t.Errorf("%s came %d times", v, got[v])
		}
	}
}

// transactions are seen as a whole or not at all.
func transactions(t *testing.T, on target) {
	topic := newTopic(t, on, 3)
	cl := newTransactional(t, on, topic+"-id", topic)
	produceOpen(t, cl, "a", "b", "c", "d", "e", "f")
	requireValues(t, committed(t, on, topic))
	endTransaction(t, cl, kgo.TryAbort)
	produceOpen(t, cl, "g", "h", "i")
	endTransaction(t, cl, kgo.TryCommit)
	process.Poll(t, 30*time.Second, "what was committed is stable", func() error { return stable(t, on, topic) })
	requireValues(t, committed(t, on, topic), "g", "h", "i")

	other := newTransactional(t, on, topic+"-other", topic)
	produceOpen(t, other, "j", "k", "l") // open, and before the next ones
	produceOpen(t, cl, "m", "n", "o")
	endTransaction(t, cl, kgo.TryCommit)
	requireValues(t, committed(t, on, topic), "g", "h", "i")
	endTransaction(t, other, kgo.TryCommit)
	process.Poll(t, 30*time.Second, "what was committed is stable", func() error { return stable(t, on, topic) })
	requireValues(t, committed(t, on, topic), "g", "h", "i", "j", "k", "l", "m", "n", "o")
}

// stable is an error while a topic has an open transaction.
func stable(t *testing.T, on target, topic string) error {
	end := ends(t, on, topic)
	for p, lso := range offsetsOf(t, topic, kadm.NewClient(newClient(t, on)).ListCommittedOffsets) {
		if lso != end[p] {
			return fmt.Errorf("partition %d is stable to %d of %d", p, lso, end[p])
		}
	}
	return nil
}

// A producer that was replaced can do nothing any more.
func transactionalFencing(t *testing.T, on target) {
	topic := newTopic(t, on, 1)
	old := newTransactional(t, on, topic+"-id", topic)
	produceOpen(t, old, "old")
	fresh := newTransactional(t, on, topic+"-id", topic)
	produceOpen(t, fresh, "new")
	err := old.EndTransaction(limited(t, 30*time.Second), kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("the old producer's commit: %v", err)
	}
	endTransaction(t, fresh, kgo.TryCommit)
	process.Poll(t, 30*time.Second, "what was committed is stable", func() error { return stable(t, on, topic) })
	requireValues(t, committed(t, on, topic), "new")
}

// A transaction whose producer is gone is aborted after its timeout.
func transactionalTimeout(t *testing.T, on target) {
	topic := newTopic(t, on, 1)
	gone := newTransactional(t, on, topic+"-gone", topic, kgo.TransactionTimeout(time.Second))
	produceOpen(t, gone, "gone")
	cl := newTransactional(t, on, topic+"-id", topic)
	produceOpen(t, cl, "here")
	endTransaction(t, cl, kgo.TryCommit)
	process.Poll(t, time.Minute, "the open transaction is aborted", func() error { return stable(t, on, topic) })
	requireValues(t, committed(t, on, topic), "here")
}

// etl moves records from one topic to another in transactions, the offsets of the input with the output.
type etl struct {
	on     target
	in     string
	out    string
	group  string
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startETL(t *testing.T, on target, in, out string, members int, r *rand.Rand) *etl {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &etl{on: on, in: in, out: out, group: in + "-group", cancel: cancel}
	for n := range members {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		e.done.Go(func() { e.run(ctx, t, fmt.Sprint(in, "-", n), own) })
	}
	t.Cleanup(e.stop)
	return e
}

func (e *etl) stop() {
	e.cancel()
	e.done.Wait()
}

// run is one member. A session that broke is given up and made anew, as a supervisor would.
func (e *etl) run(ctx context.Context, t *testing.T, id string, r *rand.Rand) {
	for ctx.Err() == nil {
		s, err := kgo.NewGroupTransactSession(
			kgo.SeedBrokers(e.on.bootstrap), kgo.TransactionalID(id), kgo.ConsumerGroup(e.group), kgo.ConsumeTopics(e.in),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.DefaultProduceTopic(e.out), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.TransactionTimeout(20*time.Second),
			kgo.HeartbeatInterval(200*time.Millisecond), kgo.FetchMaxWait(200*time.Millisecond), kgo.FetchMaxPartitionBytes(2<<10),
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(50*time.Millisecond),
		)
		if err != nil {
			t.Error(err)
			return
		}
		err = e.session(ctx, s, r)
		s.Close()
		if err != nil && ctx.Err() == nil {
			t.Logf("%s begins anew: %v", id, err)
		}
	}
}

func (e *etl) session(ctx context.Context, s *kgo.GroupTransactSession, r *rand.Rand) error {
	for ctx.Err() == nil {
		fetches := s.PollFetches(ctx)
		if fetches.Empty() {
			continue
		}
		if err := s.Begin(); err != nil {
			return err
		}
		var failed error
		fetches.EachRecord(func(in *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Value: in.Value}, func(_ *kgo.Record, err error) { failed = errors.Join(failed, err) })
		})
		how := kgo.TryCommit
		if r.IntN(5) == 0 {
			how = kgo.TryAbort
		}
		if _, err := s.End(ctx, how); err != nil {
			return err
		}
	}
	return nil
}

// finish waits until everything has been moved and holds the output against the input.
func (e *etl) finish(t *testing.T, n int) {
	t.Helper()
	adm := kadm.NewClient(newClient(t, e.on))
	in := ends(t, e.on, e.in)
	process.Poll(t, 3*time.Minute, "the group has read its input", func() error {
		o, err := adm.FetchOffsets(limited(t, 30*time.Second), e.group)
		if err != nil {
			return err
		}
		for p, end := range in {
			if at, ok := o.Lookup(e.in, p); end > 0 && (!ok || at.At < end) {
				return fmt.Errorf("partition %d: %d of %d", p, at.At, end)
			}
		}
		return nil
	})
	e.stop()
	process.Poll(t, time.Minute, "the output is stable", func() error { return stable(t, e.on, e.out) })
	got := committed(t, e.on, e.out)
	for i := range n {
		if got[strconv.Itoa(i)] != 1 {
			t.Errorf("%d came %d times", i, got[strconv.Itoa(i)])
		}
	}
	if len(got) != n {
		t.Errorf("%d values of %d", len(got), n)
	}
}

func fill(t *testing.T, on target, topic string, n int) {
	t.Helper()
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer cl.Close()
	for i := range n {
		cl.Produce(t.Context(), kgo.StringRecord(strconv.Itoa(i)), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(limited(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

// Two members, transactions that abort now and then: every record comes out exactly once.
func exactlyOnce(t *testing.T, on target) {
	in, out := newTopic(t, on, 3), newTopic(t, on, 3)
	n := process.Rounds(2000, 20000)
	fill(t, on, in, n)
	startETL(t, on, in, out, 2, rand.New(rand.NewPCG(process.Seed(t), 1))).finish(t, n)
}

// TestTransactionsSurviveKills kills a standalone at random moments while records are moved exactly once.
func TestTransactionsSurviveKills(t *testing.T) {
	r := rand.New(rand.NewPCG(process.Seed(t), 2))
	s := process.StartStandalone(t, nil)
	on := target{s.Bootstrap, 1, s.Process}
	in, out := newTopic(t, on, 3), newTopic(t, on, 3)
	n := process.Rounds(10000, 300000)
	fill(t, on, in, n)
	e := startETL(t, on, in, out, 2, r)
	for range process.Rounds(3, 30) {
		wait(t, time.Duration(300+r.IntN(700))*time.Millisecond)
		s.Kill(t)
		s.Start(t)
	}
	e.finish(t, n)
	s.Stop(t)
}
