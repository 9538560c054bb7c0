package suite

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newClient(t *testing.T, on target, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(on.bootstrap)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// place is where a record stands.
type place struct {
	partition int32
	offset    int64
}

// consume reads n records of a topic from the given offsets on, and wants
// offsets in every partition to be contiguous.
func consume(t *testing.T, on target, topic string, from map[int32]int64, n int, opts ...kgo.Opt) (out []*kgo.Record) {
	t.Helper()
	offsets, next := map[int32]kgo.Offset{}, map[int32]int64{}
	for p, o := range from {
		offsets[p], next[p] = kgo.NewOffset().At(o), o
	}
	cl := newClient(t, on, append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))...)
	defer cl.Close()
	ctx := limited(t, time.Minute)
	for len(out) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("consume %s: %v, after %d of %d records", topic, err, len(out), n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				t.Fatalf("consume %s: partition %d: offset %d came where %d was next", topic, r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition] = r.Offset + 1
			out = append(out, r)
		})
	}
	if len(out) > n {
		t.Fatalf("consume %s: %d records, not %d", topic, len(out), n)
	}
	return out
}

// starts are the offsets 0 of n partitions.
func starts(n int) map[int32]int64 {
	out := map[int32]int64{}
	for p := range n {
		out[int32(p)] = 0
	}
	return out
}

// ends asks for the end offsets of a topic.
func ends(t *testing.T, on target, topic string) map[int32]int64 {
	t.Helper()
	return offsetsOf(t, topic, kadm.NewClient(newClient(t, on)).ListEndOffsets)
}

func offsetsOf(t *testing.T, topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) map[int32]int64 {
	t.Helper()
	listed, err := list(limited(t, 30*time.Second), topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out
}

// acknowledged collects where records were acknowledged.
type acknowledged struct {
	mu     sync.Mutex
	values map[place]string
	counts map[int32]int // by partition
	err    error         // the first
}

// promise is for kgo.Client.Produce.
func (a *acknowledged) promise(r *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.values == nil {
		a.values, a.counts = map[place]string{}, map[int32]int{}
	}
	at := place{r.Partition, r.Offset}
	before, taken := a.values[at]
	switch {
	case a.err != nil:
	case err != nil:
		a.err = fmt.Errorf("produce %s: %w", r.Value, err)
	case taken:
		a.err = fmt.Errorf("%s and %s were both acknowledged at %+v", before, r.Value, at)
	default:
		a.values[at] = string(r.Value)
		a.counts[r.Partition]++
	}
}

// state is how many were acknowledged, and the first error.
func (a *acknowledged) state() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.values), a.err
}

// perPartition is how many were acknowledged in each partition, and the first error.
func (a *acknowledged) perPartition() (map[int32]int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.counts), a.err
}

// requireStored wants a topic to hold exactly the acknowledged records, each at
// its place.
func (a *acknowledged) requireStored(t *testing.T, on target, topic string, partitions int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		t.Fatal(a.err)
	}
	total := int64(0)
	for _, end := range ends(t, on, topic) {
		total += end
	}
	if total != int64(len(a.values)) {
		t.Errorf("the topic's end offsets add up to %d, and %d records were acknowledged", total, len(a.values))
	}
	for _, r := range consume(t, on, topic, starts(partitions), len(a.values)) {
		want, ok := a.values[place{r.Partition, r.Offset}]
		if !ok || want != string(r.Value) {
			t.Fatalf("partition %d offset %d holds %q; acknowledged there: %q (%t)", r.Partition, r.Offset, r.Value, want, ok)
		}
	}
}

// produceAndConsume has four goroutines produce with the client's default
// settings, which are idempotent.
func produceAndConsume(t *testing.T, on target) {
	const partitions, producers, each = 6, 4, 2000
	topic := newTopic(t, on, partitions)
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	var acked acknowledged
	var wait sync.WaitGroup
	for p := range producers {
		wait.Go(func() {
			for i := range each {
				v := fmt.Sprintf("%d/%d", p, i)
				cl.Produce(t.Context(), &kgo.Record{Key: []byte(strconv.Itoa(i % 50)), Value: []byte(v)}, acked.promise)
			}
		})
	}
	wait.Wait()
	if err := cl.Flush(limited(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := acked.state(); n != producers*each || err != nil {
		t.Fatalf("%d of %d records were acknowledged: %v", n, producers*each, err)
	}
	acked.requireStored(t, on, topic, partitions)
	requireOrder(t, consume(t, on, topic, starts(partitions), producers*each))
}

// requireOrder wants the records of one producer and one key in the order in
// which they were produced, in one partition.
func requireOrder(t *testing.T, records []*kgo.Record) {
	t.Helper()
	last, partition := map[string]int{}, map[string]int32{}
	for _, r := range records {
		var p, i int
		if _, err := fmt.Sscanf(string(r.Value), "%d/%d", &p, &i); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("producer %d key %s", p, r.Key)
		if before, ok := last[id]; ok && (before >= i || partition[id] != r.Partition) {
			t.Fatalf("%s: %d in partition %d follows %d in partition %d", id, i, r.Partition, before, partition[id])
		}
		last[id], partition[id] = i, r.Partition
	}
}

// acks produces one after the other with each kind of acknowledgement.
func acks(t *testing.T, on target) {
	const each = 200
	topic := newTopic(t, on, 1)
	for i, a := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(a), kgo.DisableIdempotentWrite())
		var records []*kgo.Record
		for _, s := range numbered(i*each, (i+1)*each) {
			records = append(records, kgo.StringRecord(s))
		}
		if err := cl.ProduceSync(limited(t, 30*time.Second), records...).FirstErr(); err != nil {
			t.Fatalf("acks %d: %v", i, err)
		}
		cl.Close()
		// What was sent with acks=0 is there soon, so that the next ones follow it.
		for n, r := range consume(t, on, topic, starts(1), (i+1)*each) {
			if string(r.Value) != strconv.Itoa(n) {
				t.Fatalf("record %d holds %q", n, r.Value)
			}
		}
	}
}

// largeBatches sends batches beyond what one NATS message may carry in this
// system, and reads them with limits far below their size.
func largeBatches(t *testing.T, on target) {
	const n, size = 12, 900 << 10
	topic := newTopic(t, on, 3)
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	var acked acknowledged
	for i := range n {
		v := make([]byte, size)
		copy(v, strconv.Itoa(i))
		v[size-1] = byte(i)
		cl.Produce(t.Context(), &kgo.Record{Value: v}, acked.promise)
	}
	if err := cl.Flush(limited(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	acked.requireStored(t, on, topic, 3)
	// The first batch always comes, however small the limits.
	small := consume(t, on, topic, starts(3), n, kgo.FetchMaxBytes(1000), kgo.FetchMaxPartitionBytes(1000), kgo.BrokerMaxReadBytes(64<<20))
	for _, r := range small {
		if acked.values[place{r.Partition, r.Offset}] != string(r.Value) {
			t.Fatalf("partition %d offset %d holds something else", r.Partition, r.Offset)
		}
	}
}
