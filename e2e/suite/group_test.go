package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// groupReader is a member of a group that commits after every poll. Whatever was
// committed may not be delivered again, to any member.
type groupReader struct {
	*groupRecord
	cl   *kgo.Client
	done chan struct{}

	mu       sync.Mutex
	assigned map[int32]bool
	read     int
	changes  int // of assigned
}

// groupRecord is what the members of a group have seen together.
type groupRecord struct {
	mu        sync.Mutex
	seen      map[string]int
	committed map[int32]int64
	err       error // the first
}

func newGroupRecord() *groupRecord {
	return &groupRecord{seen: map[string]int{}, committed: map[int32]int64{}}
}

func joinGroup(t *testing.T, on target, record *groupRecord, group, topic string, opts ...kgo.Opt) *groupReader {
	t.Helper()
	g := &groupReader{groupRecord: record, done: make(chan struct{}), assigned: map[int32]bool{}}
	change := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.changes++
			for _, p := range parts[topic] {
				if has {
					g.assigned[p] = true
				} else {
					delete(g.assigned, p)
				}
			}
		}
	}
	g.cl = newClient(t, on, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)),
	}, opts...)...)
	go g.run()
	t.Cleanup(func() { g.leave() })
	return g
}

// leave closes the member, which leaves the group.
func (g *groupReader) leave() {
	g.cl.CloseAllowingRebalance()
	<-g.done
}

func (g *groupReader) run() {
	defer close(g.done)
	for {
		fetches := g.cl.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		g.note(fetches.Err())
		fetches.EachRecord(g.see)
		g.commit(fetches)
		g.cl.AllowRebalance()
	}
}

func (r *groupRecord) note(err error) {
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) && !errors.Is(err, context.Canceled) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.err == nil {
			r.err = err
		}
	}
}

func (g *groupReader) see(r *kgo.Record) {
	g.mu.Lock()
	g.read++
	g.mu.Unlock()
	g.groupRecord.mu.Lock()
	defer g.groupRecord.mu.Unlock()
	g.seen[string(r.Value)]++
	if committed := g.committed[r.Partition]; r.Offset < committed && g.err == nil {
		g.err = fmt.Errorf("partition %d offset %d was delivered again, and %d is committed", r.Partition, r.Offset, committed)
	}
}

// commit commits what was polled; a rebalance that begins meanwhile is no
// error, it only means that the records may come again.
func (g *groupReader) commit(fetches kgo.Fetches) {
	if fetches.NumRecords() == 0 {
		return
	}
	err := g.cl.CommitRecords(context.Background(), fetches.Records()...)
	for _, harmless := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch} {
		if errors.Is(err, harmless) {
			return
		}
	}
	g.note(err)
	if err != nil {
		return
	}
	g.groupRecord.mu.Lock()
	defer g.groupRecord.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		g.committed[r.Partition] = max(g.committed[r.Partition], r.Offset+1)
	})
}

func (g *groupReader) partitions() []int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []int32
	for p := range g.assigned {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func (g *groupReader) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.read
}

// missing is an error until the group has seen every number in [from, to), and
// one that no waiting mends if a member had an error.
func (r *groupRecord) missing(from, to int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return process.Hopeless(r.err)
	}
	n := 0
	for i := from; i < to; i++ {
		if r.seen[strconv.Itoa(i)] == 0 {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d are missing", n, to-from)
	}
	return nil
}

// missingValues is an error until the group has seen all of these.
func (r *groupRecord) missingValues(values map[place]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, v := range values {
		if r.seen[v] == 0 {
			return fmt.Errorf("%s, which stands at %+v, was not read", v, at)
		}
	}
	return nil
}

// progress is what is committed by partition, and the first error.
func (r *groupRecord) progress() (map[int32]int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.committed), r.err
}

func waitAssigned(t *testing.T, want int, members ...*groupReader) {
	t.Helper()
	process.Poll(t, time.Minute, "the members have all partitions", func() error {
		seen, all := map[int32]bool{}, [][]int32{}
		for _, m := range members {
			parts := m.partitions()
			all = append(all, parts)
			for _, p := range parts {
				seen[p] = true
			}
			if len(parts) == 0 {
				return fmt.Errorf("one has nothing: %v", all)
			}
		}
		total := 0
		for _, parts := range all {
			total += len(parts)
		}
		if len(seen) != want || total != want {
			return fmt.Errorf("they have %v", all)
		}
		return nil
	})
}

// groupOfTwo has a second member come, and the first one go.
func groupOfTwo(t *testing.T, on target) {
	const partitions = 6
	for name, opts := range map[string][]kgo.Opt{
		"cooperative": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
		"range":       {kgo.Balancers(kgo.RangeBalancer())},
		"uniform 848": {kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()},
		"range 848":   {kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer()},
	} {
		t.Run(name, func(t *testing.T) {
			topic, group, record := newTopic(t, on, partitions), newName(t), newGroupRecord()
			produceNumbers(t, on, topic, 0, 600)
			first := joinGroup(t, on, record, group, topic, opts...)
			waitAssigned(t, partitions, first)
			process.Poll(t, time.Minute, "one member has seen 0 to 599", func() error { return record.missing(0, 600) })

			second := joinGroup(t, on, record, group, topic, opts...)
			waitAssigned(t, partitions, first, second)
			before := first.count()
			produceNumbers(t, on, topic, 600, 1200)
			process.Poll(t, time.Minute, "two members have seen 600 to 1199", func() error { return record.missing(600, 1200) })
			if first.count() == before || second.count() == 0 {
				t.Errorf("one of them got nothing: %d and %d", first.count()-before, second.count())
			}

			first.leave()
			waitAssigned(t, partitions, second)
			produceNumbers(t, on, topic, 1200, 1800)
			process.Poll(t, time.Minute, "the second member has seen 1200 to 1799", func() error { return record.missing(1200, 1800) })
		})
	}
}

// commitAndResume stops in the middle; the group's next member goes on there.
func commitAndResume(t *testing.T, on target) {
	topic, group := newTopic(t, on, 1), newName(t)
	adm := kadm.NewClient(newClient(t, on))
	ctx := limited(t, time.Minute)

	unknown, err := adm.FetchOffsets(ctx, group)
	if err != nil || len(unknown) != 0 {
		t.Errorf("the offsets of a group that nobody knows: %v, %v", unknown, err)
	}
	produceNumbers(t, on, topic, 0, 1000)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 500, LeaderEpoch: -1, Metadata: "half way"})
	if err := adm.CommitAllOffsets(ctx, group, offsets); err != nil {
		t.Fatal(err)
	}
	got, err := adm.FetchOffsets(ctx, group)
	if o, ok := got.Lookup(topic, 0); err != nil || !ok || o.At != 500 || o.Metadata != "half way" {
		t.Errorf("500 with metadata was committed, and fetched: %+v, %v", o, err)
	}
	for _, part := range []struct{ from, to int }{{500, 750}, {750, 1000}} {
		cl := newClient(t, on, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
		for next := part.from; next < part.to; {
			fetches := cl.PollRecords(ctx, part.to-next)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Offset != int64(next) {
					t.Fatalf("offset %d came where %d was next", r.Offset, next)
				}
				next++
			})
		}
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	got, err = adm.FetchOffsets(ctx, group)
	if o, ok := got.Lookup(topic, 0); err != nil || !ok || o.At != 1000 {
		t.Errorf("1000 was committed, and fetched: %+v, %v", o, err)
	}
}
