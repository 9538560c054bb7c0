package topiclog

import (
	"context"
	"time"
)

// Retention is how much of each partition a topic keeps.
type Retention struct {
	Time  time.Duration // retention.ms; negative: for ever
	Bytes int64         // retention.bytes; negative: without limit
}

// KeepAll deletes nothing.
var KeepAll = Retention{-1, -1}

// retained is the log start offset that retention asks for. Entries of the index go whole, as segments do in Kafka; now is in
// milliseconds.
func (p *partition) retained(r Retention, now int64) int64 {
	n := 0
	if r.Time >= 0 {
		n = p.index.expired(now - r.Time.Milliseconds())
	}
	if r.Bytes >= 0 {
		n = max(n, p.index.surplus(p.bytes, uint64(r.Bytes)))
	}
	switch {
	case n == 0:
		return p.start
	case n == len(p.index.entries):
		return p.next
	}
	return max(p.start, p.index.entries[n].base)
}

// Retain deletes what a topic does not keep, and has the space of that, and of what was deleted before, given back. It returns when the
// deletions are committed. To decide by a state that is behind does no harm: what is too old or too much stays so.
func (l *Log) Retain(ctx context.Context, r Retention) error {
	outdated := l.outdated(r)
	done := make(chan *Delete, len(outdated))
	for _, d := range outdated {
		d.Done = done
		l.Delete(d)
	}
	for i := range outdated {
		select {
		case d := <-done:
			if d.Err != nil {
				return d.Err
			}
		case <-ctx.Done():
			for _, d := range outdated[i:] {
				l.GiveUp(d)
			}
			return ctx.Err()
		}
	}
	l.log.Trim()
	return nil
}

// outdated lists the partitions of which something is to go.
func (l *Log) outdated(r Retention) []*Delete {
	now := l.cfg.Now().UnixMilli()
	l.mu.RLock()
	defer l.mu.RUnlock()
	var all []*Delete
	for number, p := range l.state.partitions {
		if start := p.retained(r, now); start > p.start {
			all = append(all, &Delete{Partition: number, Before: start})
		}
	}
	return all
}

// Expiry is when time will have something of the log deleted, should nothing come; false for never.
func (l *Log) Expiry(r Retention) (at time.Time, ok bool) {
	if r.Time < 0 {
		return at, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.state.partitions {
		if len(p.index.entries) == 0 {
			continue
		}
		if t := time.UnixMilli(p.index.entries[0].age()).Add(r.Time); !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// Size is how many bytes of batches a partition holds: the whole entries of the index, as in Kafka whole segments.
func (l *Log) Size(number int32) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.state.partitions[number]; p != nil && len(p.index.entries) > 0 {
		return int64(p.bytes - p.index.entries[0].before)
	}
	return 0
}
