package topiclog

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
)

// makeBatch is a batch of n records whose values begin with payload, without a checksum: the log does not look at it.
func makeBatch(producerID int64, epoch int16, sequence int32, n int, payload []byte) batch.Batch {
	var records []byte
	for i := range n {
		r := kmsg.NewRecord()
		r.OffsetDelta, r.Value = int32(i), payload
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
	}
	rb := kmsg.RecordBatch{Length: int32(49 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), FirstTimestamp: 1000, MaxTimestamp: 1000,
		ProducerID: producerID, ProducerEpoch: epoch, FirstSequence: sequence, NumRecords: int32(n), Records: records}
	return rb.AppendTo(nil)
}

// body is a message with one batch per partition named, at the given base offset.
func body(base int64, epoch int32, partitions ...int32) []byte {
	var entries []Entry
	var all []byte
	for _, p := range partitions {
		b := makeBatch(-1, -1, -1, 2, []byte("payload"))
		b.SetPlace(base, epoch)
		entries = append(entries, Entry{Partition: p, Base: base, Next: base + 2, Length: len(b), MaxTime: 1000, Start: -1})
		all = append(all, b...)
	}
	return append(appendTable(nil, entries), all...)
}

func TestMessageSurvives(t *testing.T) {
	b := body(70, 3, 1, 5)
	m, err := ParseMessage(9, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Entries) != 2 || m.Entries[1].Partition != 5 || m.Entries[1].Base != 70 || m.Entries[1].Next != 72 || m.Entries[1].Start != -1 {
		t.Fatalf("got %+v", m.Entries)
	}
	if got := m.Batch(&m.Entries[1]); got.BaseOffset() != 70 || got.Count() != 2 || got.LeaderEpoch() != 3 {
		t.Fatalf("second batch %x", []byte(got))
	}
	onlyStart := appendTable(nil, []Entry{{Partition: 3, Start: 17}})
	if m, err = ParseMessage(1, onlyStart); err != nil || m.Entries[0].Start != 17 || m.Entries[0].Length != 0 {
		t.Fatalf("got %+v, %v", m, err)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(body(0, 0, 1), 20)
	f.Add(body(5, 1, 0, 1, 2), 100)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		m, err := ParseMessage(1, b)
		if err != nil {
			return
		}
		bytes := bodySize(len(m.Entries), 0)
		for i := range m.Entries {
			e := &m.Entries[i]
			if bytes += e.Length; e.Length > 0 && m.Batch(e).BaseOffset() != e.Base {
				t.Fatalf("entry %+v", e)
			}
		}
		if bytes != len(b) {
			t.Fatalf("%d of %d bytes belong to something", bytes, len(b))
		}
		if at >= 0 && at < len(b) {
			if _, err := ParseMessage(1, b[:at]); err == nil {
				t.Fatalf("cut at %d was understood", at)
			}
		}
	})
}

func randomPartition(random *rand.Rand) *partition {
	p := newPartition()
	p.start, p.next, p.bytes = random.Int64N(100), 100+random.Int64N(1000), random.Uint64()
	for i := range random.IntN(4) {
		p.epochs = append(p.epochs, epochStart{int32(i), int64(i * 10)})
	}
	for i := range random.IntN(40) {
		p.index.entries = append(p.index.entries, indexEntry{int64(i * 3), uint64(i), random.Uint64(), random.Int64(), random.Int64()})
	}
	p.index.doubled, p.index.logBytes, p.index.millis = uint8(random.IntN(9)), random.Uint64(), random.Int64()
	for range random.IntN(4) {
		var s producer.State
		for i := range random.IntN(7) {
			s.Add(int16(i/3), producer.Batch{First: int32(i), Last: int32(i), Offset: random.Int64()}, random.Int64())
		}
		id := random.Int64()
		p.producers[id] = s
		p.transactions.producers[id] = standing{open: random.IntN(2) == 0, epoch: s.Epoch, number: random.Uint32(), first: random.Int64(), ended: random.IntN(2) == 0, newest: random.Uint32()}
	}
	for range random.IntN(3) {
		p.transactions.aborted = append(p.transactions.aborted, Aborted{random.Int64(), random.Int64(), random.Int64(), random.Int64()})
	}
	p.transactions.unstable = p.transactions.smallest()
	return p
}

func TestCheckpointSurvives(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		want := map[int32]*partition{}
		for range random.IntN(5) {
			want[random.Int32()] = randomPartition(random)
		}
		written := (&state{seed, random.Uint64(), random.Int64(), want}).append(nil)
		read, err := parseCheckpoint(written)
		got := read.partitions
		if err != nil || read.tail != seed || len(got) != len(want) {
			t.Fatalf("seed %d: %d partitions, %v", seed, len(got), err)
		}
		if again := read.append(nil); !bytes.Equal(again, written) {
			t.Fatalf("seed %d: another checkpoint comes out", seed)
		}
		for number := range want {
			if !reflect.DeepEqual(got[number].index, want[number].index) || !reflect.DeepEqual(got[number].epochs, want[number].epochs) ||
				!reflect.DeepEqual(got[number].transactions, want[number].transactions) {
				t.Fatalf("seed %d: partition %d is %+v, was %+v", seed, number, got[number], want[number])
			}
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 1))
	f.Add((&state{7, 8, 9, map[int32]*partition{1: randomPartition(random), 2: randomPartition(random)}}).append(nil), 99)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if _, err := parseCheckpoint(b); err != nil {
			return
		}
		if at >= 0 && at < len(b) {
			if _, err := parseCheckpoint(b[:at]); err == nil {
				t.Fatalf("cut at %d was understood", at)
			}
		}
	})
}

func TestCacheKeepsItsBudget(t *testing.T) {
	c := NewCache(1<<20, nil)
	for i := range uint64(100) {
		c.addRecent(1, &Message{Sequence: i, Body: make([]byte, 100<<10)})
		c.addRead(2, &Message{Sequence: i, Body: make([]byte, 100<<10)})
		c.get(2, 98) // used again and again, once it is there
	}
	if c.get(1, 92) != nil || c.get(1, 93) == nil || c.get(1, 99) == nil {
		t.Error("recent messages are not first in, first out within three quarters")
	}
	if c.get(2, 99) == nil || c.get(2, 97) != nil || c.get(2, 98) == nil {
		t.Error("read messages are not least recently used first out within a quarter")
	}
	if c.drop(1); c.get(1, 99) != nil || c.recent.bytes != 0 || c.recent.list.Len() != 0 {
		t.Error("a dropped log is still there")
	}
}

func BenchmarkBuildAndParse(b *testing.B) {
	for name, size := range map[string]int{"1 KiB": 1 << 10, "64 KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			whole := makeBatch(7, 0, 0, 1, make([]byte, size))
			l := &Log{cfg: Config{LeaderEpoch: func() int32 { return 0 }}, state: state{partitions: map[int32]*partition{}}}
			l.build.init()
			done := make(chan *Append, 1000)
			b.SetBytes(int64(len(whole)))
			b.ReportAllocs()
			for n := 0; n < b.N; {
				clear(l.state.partitions)
				for i := range min(400, b.N-n) {
					l.queue = append(l.queue, &Append{Partition: int32(i), Batch: whole, Done: done})
				}
				for record := (*machine)(l).Build(40, 512<<10, 1<<20); record != nil; record = (*machine)(l).Build(40, 512<<10, 1<<20) {
					m, err := ParseMessage(1, record[40:])
					if err != nil {
						b.Fatal(err)
					}
					n += len(m.Entries)
				}
			}
		})
	}
}
