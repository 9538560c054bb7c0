package topiclog

import (
	"context"

	"kanal/services/records/internal/batch"
)

// AtOrAfter finds the first record of a partition with a timestamp of millis or later; false if there is none.
func (l *Log) AtOrAfter(ctx context.Context, number int32, millis int64) (batch.Found, bool, error) {
	l.mu.RLock()
	var from indexEntry
	var start int64
	found := false
	if p := l.state.partitions[number]; p != nil && p.latest.time >= millis {
		from, found = p.index.time(millis)
		start = p.start
	}
	tail := l.state.tail
	l.mu.RUnlock()
	if !found {
		return batch.Found{}, false, nil
	}
	return l.search(ctx, number, from.sequence, tail, func(e *Entry, b batch.Batch) (batch.Found, bool, error) {
		if e.MaxTime < millis || e.Next <= start {
			return batch.Found{}, false, nil
		}
		return b.AtOrAfter(millis)
	})
}

// Latest finds the first record with the largest timestamp of a partition (KIP-734); false if it is empty.
func (l *Log) Latest(ctx context.Context, number int32) (batch.Found, bool, error) {
	l.mu.RLock()
	p := l.state.partitions[number]
	if p == nil || p.latest.time == noTime {
		l.mu.RUnlock()
		return batch.Found{}, false, nil
	}
	base, tail := p.latest.base, l.state.tail
	from, _ := p.index.offset(base)
	l.mu.RUnlock()
	return l.search(ctx, number, from.sequence, tail, func(e *Entry, b batch.Batch) (batch.Found, bool, error) {
		if e.Base != base {
			return batch.Found{}, false, nil
		}
		return b.Latest()
	})
}

// search goes through a partition's batches until look finds a record.
func (l *Log) search(ctx context.Context, number int32, from, tail uint64, look func(*Entry, batch.Batch) (batch.Found, bool, error)) (found batch.Found, ok bool, err error) {
	failed := l.scan(ctx, from, tail, func(m *Message) bool {
		for i := range m.Entries {
			e := &m.Entries[i]
			if e.Partition != number || e.Length == 0 {
				continue
			}
			if found, ok, err = look(e, m.Batch(e)); ok || err != nil {
				return false
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return found, ok, err
}
