package faults

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// TestSleepers stops instances of records and groups until others have their
// work, and wakes them again: nothing stale is executed. Committed offsets never
// go back, and no record lands behind newer ones of its producer, sequence
// numbers or not.
func TestSleepers(t *testing.T) {
	nats := process.StartNATSProcess(t)
	c := startCluster(t, nats.URL, nil, "metadata", "records", "groups")
	c.add("metadata", 1, nil)
	c.add("records", 2, nil)
	c.add("groups", 2, nil)
	c.ready()
	h := newHistory(t, c)
	h.advance(t, "before")
	var detected times
	for range process.Rounds(4, 60) {
		c.pause(200 * time.Millisecond)
		sleeper := c.handlers[1+c.random.IntN(4)]
		at := time.Now()
		sleeper.Signal(t, syscall.SIGSTOP)
		detected = append(detected, c.lost(t, at, "silent"))
		h.advance(t, "while "+sleeper.String()+" sleeps")
		c.pause(500 * time.Millisecond)
		sleeper.Signal(t, syscall.SIGCONT)
		h.advance(t, "after "+sleeper.String()+" woke up")
	}
	h.check(t)
	detected.log(t, "stopped handlers were found out after")
}

// history is what clients were told. Each numbers what it does, and goes on when
// a number is acknowledged.
type history struct {
	topic   string
	clients []*numbered
	stop    context.CancelFunc
	all     sync.WaitGroup
	reader  *kgo.Client

	mu  sync.Mutex
	err error
}

// numbered is one client of a history.
type numbered struct {
	name         string
	partition    int32 // of a producer
	sequenced    bool  // has sequence numbers
	acknowledged int64 // newest number; guarded by history's mu
}

const historyPartitions = 3

func newHistory(t *testing.T, c *cluster) *history {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	h := &history{topic: "history", stop: stop, reader: client(t, c)}
	t.Cleanup(func() { stop(); h.all.Wait() })
	if _, err := kadm.NewClient(h.reader).CreateTopic(t.Context(), historyPartitions, 1, nil, h.topic); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		n := &numbered{name: "p" + strconv.Itoa(i), partition: int32(i % historyPartitions), sequenced: i%2 == 0}
		h.clients = append(h.clients, n)
		opts := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}
		if !n.sequenced {
			opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
		}
		cl := client(t, c, opts...)
		h.all.Go(func() { h.produce(ctx, cl, n) })
	}
	for i := range 6 {
		n := &numbered{name: "g" + strconv.Itoa(i)}
		h.clients = append(h.clients, n)
		committer, asker := kadm.NewClient(client(t, c)), kadm.NewClient(client(t, c))
		h.all.Go(func() { h.commit(ctx, committer, n) })
		h.all.Go(func() { h.ask(ctx, asker, n) })
	}
	return h
}

func client(t *testing.T, c *cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.kafka), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func (h *history) acknowledge(n *numbered, number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n.acknowledged = number
}

func (h *history) last(n *numbered) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return n.acknowledged
}

func (h *history) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
}

// produce sends numbers, each until it is acknowledged.
func (h *history) produce(ctx context.Context, cl *kgo.Client, n *numbered) {
	for number := int64(1); ctx.Err() == nil; {
		r := &kgo.Record{Topic: h.topic, Partition: n.partition, Value: fmt.Appendf(nil, "%s/%d", n.name, number)}
		if err := cl.ProduceSync(context.Background(), r).FirstErr(); err == nil {
			h.acknowledge(n, number)
			number++
		} else if n.sequenced {
			h.note(fmt.Errorf("%s could not produce %d: %w", n.name, number, err))
			return
		}
	}
}

// commit commits rising offsets, each until it is acknowledged.
func (h *history) commit(ctx context.Context, adm *kadm.Client, n *numbered) {
	for number := int64(1); ctx.Err() == nil; {
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: h.topic, At: number, LeaderEpoch: -1})
		if err := adm.CommitAllOffsets(context.Background(), n.name, offsets); err == nil {
			h.acknowledge(n, number)
			number++
		}
	}
}

// ask looks at what is committed, all the time.
func (h *history) ask(ctx context.Context, adm *kadm.Client, n *numbered) {
	for seen := int64(0); ctx.Err() == nil; {
		least := max(seen, h.last(n))
		offsets, err := adm.FetchOffsets(context.Background(), n.name)
		if err != nil {
			continue
		}
		if o, _ := offsets.Lookup(h.topic, 0); o.At < least {
			h.note(fmt.Errorf("the offset of %s went from %d back to %d", n.name, least, o.At))
			return
		} else {
			seen = o.At
		}
	}
}

// advance waits until every client has something new acknowledged.
func (h *history) advance(t *testing.T, why string) {
	t.Helper()
	before := make([]int64, len(h.clients))
	for i, n := range h.clients {
		before[i] = h.last(n)
	}
	process.Poll(t, time.Minute, "everybody goes on "+why, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.err != nil {
			return process.Hopeless(h.err)
		}
		for i, n := range h.clients {
			if n.acknowledged < before[i]+2 {
				return fmt.Errorf("%s went from %d to %d", n.name, before[i], n.acknowledged)
			}
		}
		return nil
	})
}

// check reads everything and holds it to what was acknowledged.
func (h *history) check(t *testing.T) {
	t.Helper()
	h.stop()
	h.all.Wait()
	if h.err != nil {
		t.Fatal(h.err)
	}
	starts := map[int32]kgo.Offset{}
	for p := range int32(historyPartitions) {
		starts[p] = kgo.NewOffset().At(0)
	}
	h.reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{h.topic: starts})
	ends, err := kadm.NewClient(h.reader).ListEndOffsets(t.Context(), h.topic)
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	newest := map[string]int64{}
	limit, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for left > 0 {
		fetches := h.reader.PollFetches(limit)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d records are left to read: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			h.follow(t, newest, r)
		})
	}
	total := int64(0)
	for _, n := range h.clients {
		total += n.acknowledged
		if n.name[0] == 'p' && newest[n.name] < n.acknowledged {
			t.Errorf("%s was told that %d is stored; its last is %d", n.name, n.acknowledged, newest[n.name])
		}
	}
	t.Logf("%d numbers were acknowledged", total)
}

// follow holds a record to the one before it of its producer: the next number,
// or, without sequence numbers, the same again.
func (h *history) follow(t *testing.T, newest map[string]int64, r *kgo.Record) {
	name, digits, _ := strings.Cut(string(r.Value), "/")
	number, err := strconv.ParseInt(digits, 10, 64)
	before := newest[name]
	sequenced := (name[1]-'0')%2 == 0
	if err != nil || number != before+1 && (number != before || sequenced) {
		t.Errorf("partition %d offset %d: %s stands behind number %d", r.Partition, r.Offset, r.Value, before)
	}
	newest[name] = max(before, number)
}
