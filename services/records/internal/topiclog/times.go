package topiclog

import (
	"context"
	"slices"

	"kanal/services/records/internal/batch"
)

// AtOrAfter finds the first record of a partition with a timestamp of millis or later; false if there is none.
func (l *Log) AtOrAfter(ctx context.Context, number int32, millis int64) (found batch.Found, ok bool, err error) {
	l.mu.RLock()
	var from indexEntry
	var start int64
	if p := l.state.partitions[number]; p != nil {
		from, ok = p.index.time(millis)
		start = p.start
	}
	tail := l.state.tail
	l.mu.RUnlock()
	if !ok {
		return found, false, nil
	}
	ok = false
	failed := l.scanBatches(ctx, number, from.sequence, tail, start, func(e *Entry, b batch.Batch) bool {
		if e.MaxTime >= millis {
			found, ok, err = b.AtOrAfter(millis, start)
		}
		return !ok && err == nil
	})
	if err == nil {
		err = failed
	}
	return found, ok, err
}

// Latest finds the first record with the largest timestamp of a partition (KIP-734); false if it is empty.
func (l *Log) Latest(ctx context.Context, number int32) (found batch.Found, ok bool, err error) {
	l.mu.RLock()
	p := l.state.partitions[number]
	if p == nil || len(p.index.entries) == 0 {
		l.mu.RUnlock()
		return found, false, nil
	}
	x := index{entries: slices.Clone(p.index.entries)}
	start, next, tail := p.start, p.next, l.state.tail
	l.mu.RUnlock()
	for _, i := range x.latest(start) {
		end := x.end(i, next)
		failed := l.scanBatches(ctx, number, x.entries[i].sequence, tail, start, func(e *Entry, b batch.Batch) bool {
			if e.Base >= end {
				return false
			}
			if ok && e.MaxTime <= found.Timestamp {
				return true
			}
			var f batch.Found
			var has bool
			if f, has, err = b.Latest(start); has && (!ok || f.Timestamp > found.Timestamp) {
				found, ok = f, true
			}
			return err == nil
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return found, false, err
		}
	}
	return found, ok, nil
}

// latest names the entries among whose batches the largest timestamp is: the first entry with the largest, and where that reaches below
// the log start, so that its largest may be gone, the best of the others as well. They are in order.
func (x *index) latest(start int64) []int {
	best := x.best(0)
	if x.entries[best].base >= start || best+1 == len(x.entries) {
		return []int{best}
	}
	return []int{best, x.best(best + 1)}
}

// best is the first entry from one on with the largest timestamp.
func (x *index) best(from int) int {
	best := from
	for i := from; i < len(x.entries); i++ {
		if x.entries[i].latest > x.entries[best].latest {
			best = i
		}
	}
	return best
}

// scanBatches goes through a partition's batches that do not end below start, until f returns false.
func (l *Log) scanBatches(ctx context.Context, number int32, from, tail uint64, start int64, f func(*Entry, batch.Batch) bool) error {
	return l.scan(ctx, from, tail, func(m *Message) bool {
		for i := range m.Entries {
			e := &m.Entries[i]
			if e.Partition == number && e.Length > 0 && e.Next > start && !f(e, m.Batch(e)) {
				return false
			}
		}
		return true
	})
}
