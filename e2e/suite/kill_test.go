package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// load produces with the client's idempotent defaults, pipelined, until it is
// stopped. Every record must be acknowledged in the end, whatever happens to the
// servers meanwhile.
type load struct {
	acknowledged
	topic  string
	cl     *kgo.Client
	cancel context.CancelFunc
	done   chan int // gets how many were produced
}

func startLoad(t *testing.T, on target, topic, name string) *load {
	t.Helper()
	return loadWith(t, on, topic, name, 0, kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.DialTimeout(5*time.Second))
}

// loadWith is a load of a client with options of choice, which makes a record
// every pace, or as many as are taken.
func loadWith(t *testing.T, on target, topic, name string, pace time.Duration, opts ...kgo.Opt) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{topic: topic, cancel: cancel, done: make(chan int, 1)}
	l.cl = newClient(t, on, append(opts, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.MaxBufferedRecords(500), kgo.ProducerBatchMaxBytes(4<<10))...)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			// Produce blocks while 500 records are under way.
			l.cl.Produce(context.Background(), &kgo.Record{Value: fmt.Appendf(nil, "%s/%d", name, n)}, l.promise)
			time.Sleep(pace)
		}
		l.done <- n
	}()
	t.Cleanup(cancel)
	return l
}

// advance waits until n more records are acknowledged in each partition.
func (l *load) advance(t *testing.T, n, partitions int, why string) {
	t.Helper()
	before, _ := l.perPartition()
	process.Poll(t, 2*time.Minute, fmt.Sprintf("%d more records are acknowledged in each partition %s", n, why), func() error {
		now, err := l.perPartition()
		if err != nil {
			return process.Hopeless(err)
		}
		return advanced(before, now, n, partitions)
	})
}

// advanced is an error until every partition has n more than before.
func advanced[N int | int64](before, now map[int32]N, n N, partitions int) error {
	for p := range int32(partitions) {
		if now[p] < before[p]+n {
			return fmt.Errorf("partition %d went from %d to %d", p, before[p], now[p])
		}
	}
	return nil
}

// finish stops producing and waits until everything is acknowledged.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.cancel()
	produced := <-l.done
	if err := l.cl.Flush(limited(t, 2*time.Minute)); err != nil {
		t.Fatalf("flush: %v", err)
	}
	l.cl.Close()
	if n, err := l.state(); n != produced || err != nil {
		t.Fatalf("%d records were produced and %d acknowledged: %v", produced, n, err)
	}
}

// TestKill kills a standalone at random moments under load. One producer lives
// through all of it, and each round has one of its own; what is acknowledged
// stays where it was acknowledged, once.
func TestKill(t *testing.T) {
	n := process.Seed(t)
	r := rand.New(rand.NewPCG(n, 0))
	s := process.StartStandalone(t, nil)
	on := target{s.Bootstrap, 1, s.Process}
	const partitions = 3
	through := startLoad(t, on, newTopic(t, on, partitions), "through")
	perRound := newTopic(t, on, partitions)
	checked := starts(partitions)
	var all []*load
	for round := range process.Rounds(5, 50) {
		own := startLoad(t, on, perRound, fmt.Sprint(round))
		all = append(all, own)
		through.advance(t, 50, partitions, "in this round")
		own.advance(t, 1, partitions, "in this round")
		wait(t, time.Duration(r.IntN(400_000))*time.Microsecond)
		s.Kill(t)
		s.Start(t)
		own.advance(t, 1, partitions, "after the kill")
		own.finish(t)
		// Nobody else writes to this topic now.
		end := ends(t, on, perRound)
		requireRound(t, on, perRound, checked, end, own)
		checked = end
	}
	through.finish(t)
	through.requireStored(t, on, through.topic, partitions)
	union := &acknowledged{values: map[place]string{}}
	for _, l := range all {
		for at, v := range l.values {
			if before, ok := union.values[at]; ok {
				t.Fatalf("%s and %s were both acknowledged at %+v", before, v, at)
			}
			union.values[at] = v
		}
	}
	union.requireStored(t, on, perRound, partitions)
	s.Stop(t)
}

// wait lets a moment pass in which the process is to be hit: the one place
// where time itself is the test's input.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// requireRound wants exactly a round's records between two ends of a topic.
func requireRound(t *testing.T, on target, topic string, from, to map[int32]int64, l *load) {
	t.Helper()
	n := 0
	for p := range to {
		n += int(to[p] - from[p])
	}
	if n != len(l.values) {
		t.Fatalf("%d records were stored in a round that had %d acknowledged", n, len(l.values))
	}
	for _, r := range consume(t, on, topic, from, n) {
		if want := l.values[place{r.Partition, r.Offset}]; want != string(r.Value) {
			t.Fatalf("partition %d offset %d holds %q; acknowledged there: %q", r.Partition, r.Offset, r.Value, want)
		}
	}
}
