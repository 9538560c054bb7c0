package session

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clock is set by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

var roomy = Limits{Sessions: 10, Partitions: 1000, Idle: time.Minute}

// fetchOf asks for partitions 0 to n-1 of topic "t".
func fetchOf(version int16, id, epoch int32, n int) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.Version, q.SessionID, q.SessionEpoch = version, id, epoch
	t := kmsg.NewFetchRequestTopic()
	t.Topic = "t"
	for i := range n {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition = int32(i)
		t.Partitions = append(t.Partitions, p)
	}
	if n > 0 {
		q.Topics = append(q.Topics, t)
	}
	return q
}

// begin makes a session of n partitions.
func begin(t *testing.T, c *Cache, n int) int32 {
	t.Helper()
	f, code := c.Begin(fetchOf(12, 0, 0, n))
	if code != 0 || len(f.Partitions) != n {
		t.Fatalf("code %d, %d partitions", code, len(f.Partitions))
	}
	f.Answer(make([]kmsg.FetchResponseTopicPartition, n))
	return f.ID
}

func TestErrors(t *testing.T) {
	clk := &clock{time.Unix(0, 0)}
	c := NewCache(roomy, clk.now)
	id := begin(t, c, 3)
	for _, step := range []struct {
		name       string
		version    int16
		id, epoch  int32
		partitions int
		code       *kerr.Error
		want       int // partitions of the fetch
	}{
		{"another id", 12, id ^ 1, 1, 0, kerr.FetchSessionIDNotFound, 0},
		{"an epoch too far", 12, id, 2, 0, kerr.InvalidFetchSessionEpoch, 0},
		{"topic ids", 13, id, 1, 0, kerr.FetchSessionTopicIDError, 0},
		{"the next epoch", 12, id, 1, 0, nil, 3},
		{"the same again", 12, id, 1, 0, kerr.InvalidFetchSessionEpoch, 0},
		{"one more partition", 12, id, 2, 4, nil, 4},
		{"the end of it", 12, id, -1, 1, nil, 1},
		{"after the end", 12, id, 3, 0, kerr.FetchSessionIDNotFound, 0},
	} {
		f, code := c.Begin(fetchOf(step.version, step.id, step.epoch, step.partitions))
		if kerr.TypedErrorForCode(code) != step.code || f != nil && len(f.Partitions) != step.want {
			t.Errorf("%s: code %d, %+v", step.name, code, f)
		}
	}
	if n, partitions, _ := c.Counts(); n != 0 || partitions != 0 {
		t.Errorf("%d sessions of %d partitions are left", n, partitions)
	}
}

func TestWhoGetsNoSession(t *testing.T) {
	c := NewCache(roomy, time.Now)
	for name, q := range map[string]*kmsg.FetchRequest{"old version": fetchOf(6, 0, 0, 1), "final epoch": fetchOf(12, 0, -1, 1), "nothing": fetchOf(12, 0, 0, 0), "too much": fetchOf(12, 0, 0, 1001)} {
		f, code := c.Begin(q)
		if leave := f.Answer(make([]kmsg.FetchResponseTopicPartition, len(f.Partitions))); code != 0 || f.ID != 0 || leave(0) {
			t.Errorf("%s: code %d, session %d", name, code, f.ID)
		}
	}
}

func TestEviction(t *testing.T) {
	clk := &clock{time.Unix(0, 0)}
	c := NewCache(Limits{Sessions: 2, Partitions: 10, Idle: time.Minute}, clk.now)
	first := begin(t, c, 3)
	clk.t = clk.t.Add(30 * time.Second)
	second := begin(t, c, 3)
	if id := begin(t, c, 1); id != 0 {
		t.Error("a session beyond the limit")
	}
	clk.t = clk.t.Add(30 * time.Second)
	if _, code := c.Begin(fetchOf(12, first, 1, 0)); code != 0 { // now the second was idle longer
		t.Fatal(code)
	}
	clk.t = clk.t.Add(29 * time.Second)
	if id := begin(t, c, 1); id != 0 {
		t.Error("a session was evicted too early")
	}
	clk.t = clk.t.Add(time.Second)
	third := begin(t, c, 1)
	if _, code := c.Begin(fetchOf(12, second, 1, 0)); third == 0 || code != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("the session that was idle longest is there: %d, %d", third, code)
	}
	clk.t = clk.t.Add(time.Hour)
	if id := begin(t, c, 10); id == 0 { // all others have to go for it
		t.Error("no room for the largest")
	}
	if n, partitions, evictions := c.Counts(); n != 1 || partitions != 10 || evictions != 3 {
		t.Errorf("%d sessions, %d partitions, %d evictions", n, partitions, evictions)
	}
}

// truth is a partition as the broker has it.
type truth struct {
	end, start int64
	code       int16
}

// A client that follows its session knows at any time what one knows that asks for everything each time, whatever is added,
// forgotten, changed, and wrong for a while.
func TestSessionAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { follow(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func follow(t *testing.T, random *rand.Rand) {
	const most = 8
	c := NewCache(roomy, time.Now)
	var broker [most]truth
	wanted := map[int32]int64{} // partition to fetch offset, by the client
	knows := map[int32]truth{}
	id, epoch := int32(0), int32(0)
	for range 400 {
		q := fetchOf(12, id, epoch, 0)
		topic, forgotten := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestForgottenTopic()
		topic.Topic, forgotten.Topic = "t", "t"
		for n := range int32(most) {
			_, has := wanted[n]
			switch random.IntN(12) {
			case 0, 1:
				wanted[n], has = random.Int64(), true
			case 2:
				if has && epoch > 0 {
					forgotten.Partitions = append(forgotten.Partitions, n)
				}
				delete(wanted, n)
				delete(knows, n)
				continue
			default:
				if epoch > 0 {
					continue
				}
			}
			if has {
				p := kmsg.NewFetchRequestTopicPartition()
				p.Partition, p.FetchOffset = n, wanted[n]
				topic.Partitions = append(topic.Partitions, p)
			}
		}
		q.Topics, q.ForgottenTopics = append(q.Topics, topic), append(q.ForgottenTopics, forgotten)
		f, code := c.Begin(q)
		if code != 0 || len(f.Partitions) != len(wanted) {
			t.Fatalf("code %d, %d partitions, want %d", code, len(f.Partitions), len(wanted))
		}
		outs := make([]kmsg.FetchResponseTopicPartition, len(f.Partitions))
		for i, p := range f.Partitions {
			if p.Offset != wanted[p.Partition] {
				t.Fatalf("partition %d from %d, want %d", p.Partition, p.Offset, wanted[p.Partition])
			}
			b := &broker[p.Partition]
			if random.IntN(4) == 0 {
				*b = truth{b.end + random.Int64N(2), b.start + random.Int64N(2), 0}
			}
			if random.IntN(10) == 0 {
				b.code = int16(random.IntN(2))
			}
			outs[i].Partition, outs[i].HighWatermark, outs[i].LogStartOffset, outs[i].ErrorCode = p.Partition, b.end, b.start, b.code
			if b.code != 0 {
				outs[i].HighWatermark, outs[i].LogStartOffset = -1, -1
			} else if random.IntN(8) == 0 {
				outs[i].RecordBatches = []byte{1}
			}
		}
		leave := f.Answer(outs)
		told := 0
		for i, o := range outs {
			if !leave(i) {
				knows[o.Partition] = truth{o.HighWatermark, o.LogStartOffset, o.ErrorCode}
				told++
			} else if len(o.RecordBatches) > 0 {
				t.Fatalf("records of partition %d were left out", o.Partition)
			}
			if b := broker[o.Partition]; b.code == 0 && knows[o.Partition] != b || b.code != 0 && (leave(i) || knows[o.Partition].code != b.code) {
				t.Fatalf("partition %d: the client knows %+v, true is %+v", o.Partition, knows[o.Partition], b)
			}
		}
		id, epoch = f.ID, following(epoch)
		switch {
		case id == 0: // nothing was wanted
			epoch = 0
			clear(knows)
		case random.IntN(50) == 0: // the client starts over
			epoch = 0
			clear(knows)
		}
	}
}

// Partitions that had records come last in the next answer, so that large ones do not starve the others.
func TestPartitionsTakeTurns(t *testing.T) {
	c := NewCache(roomy, time.Now)
	id := begin(t, c, 4)
	f, _ := c.Begin(fetchOf(12, id, 1, 0))
	outs := make([]kmsg.FetchResponseTopicPartition, 4)
	outs[0].RecordBatches, outs[2].RecordBatches = []byte{1}, []byte{1}
	f.Answer(outs)
	f, _ = c.Begin(fetchOf(12, id, 2, 0))
	for i, want := range []int32{1, 3, 0, 2} {
		if got := f.Partitions[i].Partition; got != want {
			t.Errorf("place %d: partition %d, want %d", i, got, want)
		}
	}
}

func TestEpochsWrap(t *testing.T) {
	if following(1<<31-1) != 1 || following(0) != 1 || following(7) != 8 {
		t.Error("an epoch follows wrongly")
	}
}

// A long poll that is given back comes again with the same epoch.
func TestGivenBack(t *testing.T) {
	c := NewCache(roomy, time.Now)
	id := begin(t, c, 2)
	for range 2 {
		f, code := c.Begin(fetchOf(12, id, 1, 3))
		if code != 0 || len(f.Partitions) != 3 {
			t.Fatalf("code %d, %+v", code, f)
		}
		f.GiveBack()
	}
	first, _ := c.Begin(fetchOf(12, id, 1, 0))
	if _, code := c.Begin(fetchOf(12, id, 2, 0)); code != 0 {
		t.Fatalf("the next: code %d", code)
	}
	first.GiveBack() // too late: the client has gone on
	if _, code := c.Begin(fetchOf(12, id, 3, 0)); code != 0 {
		t.Errorf("after that: code %d", code)
	}
}
