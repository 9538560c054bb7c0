package topiclog

import (
	"math/rand/v2"
	"testing"
	"time"
)

// modelBatch is a batch as the dumb model keeps it: in a list with all others.
type modelBatch struct {
	base, next, time int64
	sequence, bytes  uint64
}

// An index finds what a list of all batches finds, at most a bounded distance before it, and lets retention take only what a list of all
// batches would have it take, all of it but that distance.
func TestIndexStaysSmallAndRight(t *testing.T) {
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		p := newPartition()
		var logBytes uint64
		var all []modelBatch
		for i := range 20000 {
			b := modelBatch{base: p.next, next: p.next + 1 + random.Int64N(10), time: int64(i) + random.Int64N(50), sequence: uint64(i), bytes: 1 + random.Uint64N(400<<10)}
			p.index.add(indexEntry{b.base, b.sequence, p.bytes, b.time, int64(i)}, logBytes)
			p.next, p.bytes, logBytes = b.next, p.bytes+b.bytes, logBytes+3*b.bytes
			all = append(all, b)
			if i%2500 == 2499 {
				all = retainModel(t, p, all, Retention{-1, -1}, int64(i))
				all = retainModel(t, p, all, Retention{time.Duration(2000+random.IntN(9000)) * time.Millisecond, -1}, int64(i))
				all = retainModel(t, p, all, Retention{-1, 100<<20 + random.Int64N(2<<30)}, int64(i))
			}
		}
		if n := len(p.index.entries); n > indexMost || n < indexMost/16 {
			t.Fatalf("seed %d: %d entries", seed, n)
		}
		for range 1000 {
			want := all[random.IntN(len(all))]
			if e, ok := p.index.offset(want.base); !ok || e.base > want.base || e.sequence > want.sequence || want.sequence-e.sequence > 400 {
				t.Fatalf("seed %d: offset %d at %d: entry %+v", seed, want.base, want.sequence, e)
			}
			first := 0
			for all[first].time < want.time {
				first++
			}
			if e, ok := p.index.time(want.time); !ok || e.sequence > all[first].sequence || all[first].sequence-e.sequence > 400 {
				t.Fatalf("seed %d: time %d at %d: entry %+v", seed, want.time, all[first].sequence, e)
			}
		}
	}
}

// retainModel applies retention to a partition and holds what goes against the list of all its batches, of which it returns the rest.
func retainModel(t *testing.T, p *partition, all []modelBatch, r Retention, now int64) []modelBatch {
	t.Helper()
	start, size := p.retained(r, now), uint64(0)
	gone := 0
	for i, b := range all {
		if b.next <= start {
			gone = i + 1
			if r.Time >= 0 && now-b.time <= r.Time.Milliseconds() || r.Time < 0 && r.Bytes < 0 {
				t.Fatalf("%+v let %+v go at %d", r, b, now)
			}
		} else {
			size += b.bytes
		}
	}
	if r.Bytes >= 0 && gone > 0 && size < uint64(r.Bytes) {
		t.Fatalf("%+v left %d bytes", r, size)
	}
	p.startAt(start)
	if len(p.index.entries) > 0 && p.bytes-p.index.entries[0].before != size {
		t.Fatalf("size is %d, want %d", p.bytes-p.index.entries[0].before, size)
	}
	rest := all[gone:]
	if most := uint64(indexBytes+400<<10) << (p.index.doubled + 1); r.Bytes >= 0 && size > uint64(r.Bytes)+most {
		t.Fatalf("%+v left %d bytes", r, size)
	}
	if r.Time >= 0 && len(rest) > 1000 && now-rest[1000].time > r.Time.Milliseconds() {
		t.Fatalf("%+v left %+v at %d", r, rest[1000], now)
	}
	return rest
}

// Records without a timestamp are as old as their storage, as in Kafka.
func TestAgeOfRecordsWithoutTimestamp(t *testing.T) {
	p := newPartition()
	p.next, p.bytes = 10, 100
	p.index.add(indexEntry{0, 1, 0, -1, 5000}, 0)
	for now, want := range map[int64]int64{5999: 0, 6000: 0, 6001: 10} {
		if got := p.retained(Retention{time.Second, -1}, now); got != want {
			t.Errorf("at %d from %d on, want %d", now, got, want)
		}
	}
	if got := p.retained(Retention{-1, 0}, 0); got != 10 {
		t.Errorf("without any bytes from %d on", got)
	}
	if got := p.retained(Retention{-1, 1}, 0); got != 0 {
		t.Errorf("with one byte from %d on", got)
	}
}

// Entries are made by time too, so that a partition that grows slowly can be let go bit by bit.
func TestIndexOfSlowPartitions(t *testing.T) {
	p := newPartition()
	const hour = 3600_000
	for i := range int64(48) {
		p.index.add(indexEntry{i, uint64(i), uint64(i), i * hour / 2, i * hour / 2}, uint64(i))
		p.next, p.bytes = i+1, uint64(i)+1
	}
	if got := p.retained(Retention{6 * time.Hour, -1}, 24*hour); got != 36 {
		t.Errorf("starts at %d", got)
	}
}

// The leader epoch in which a log start lies begins there from then on; earlier ones are forgotten.
func TestEpochsBelowTheStart(t *testing.T) {
	p := newPartition()
	p.next, p.epochs = 100, []epochStart{{1, 0}, {3, 10}, {4, 50}}
	p.startAt(20)
	if len(p.epochs) != 2 || p.epochs[0] != (epochStart{3, 20}) {
		t.Fatalf("epochs %v", p.epochs)
	}
	if p.startAt(100); len(p.epochs) != 1 || p.epochs[0] != (epochStart{4, 100}) {
		t.Fatalf("epochs %v", p.epochs)
	}
}
