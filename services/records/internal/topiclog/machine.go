package topiclog

import (
	"fmt"
	"math"
	"slices"
	"time"

	"kanal/libs/log"
	"kanal/services/records/internal/batch"
)

// machine is the Log as libs/log sees it.
type machine Log

func (m *machine) Application() uint16 { return Application }

// Restore replaces the committed state. Waiters stay with their partitions.
func (m *machine) Restore(checkpoint []byte) error {
	restored := state{partitions: map[int32]*partition{}}
	if checkpoint != nil {
		var err error
		if restored, err = parseCheckpoint(checkpoint); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.state.partitions
	m.state = restored
	for number, p := range old {
		if len(p.waiters) > 0 {
			(*Log)(m).partition(number).waiters = p.waiters
			p.wake(math.MaxInt32)
		}
	}
	return nil
}

// Apply takes in a message.
func (m *machine) Apply(msg log.Message) error {
	parsed, err := ParseMessage(msg.Sequence, msg.Body)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	s.newest = msg.Time.UnixMilli()
	for i := range parsed.Entries {
		e := &parsed.Entries[i]
		p := (*Log)(m).partition(e.Partition)
		if err := p.check(e); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		stable := p.stable()
		p.apply(parsed, i, s.newest, s.bytes)
		p.moved(e, stable)
		if e.Start >= 0 { // what a fetch waits for may be gone
			p.wake(math.MaxInt32)
		}
	}
	s.bytes += uint64(len(msg.Body))
	s.tail = msg.Sequence
	m.cfg.Cache.addRecent(m.id, parsed)
	return nil
}

// Build validates what waits, in order, against the committed state and what is already in the message.
func (m *machine) Build(head, limit, most int) []byte {
	l, b := (*Log)(m), &m.build
	b.reset()
	m.queueMu.Lock()
	b.waiting = append(b.waiting, m.queue...)
	clear(m.queue)
	m.queue = m.queue[:0]
	b.confirms, m.confirms = m.confirms, nil
	deletes := m.deletes
	m.deletes = nil
	m.queueMu.Unlock()
	l.decideAll(limit, most, deletes)
	if len(b.entries) == 0 && !b.certain && len(b.confirms) == 0 {
		return nil
	}
	record := make([]byte, head, head+bodySize(len(b.entries), b.bytes))
	if len(b.entries) == 0 {
		return record
	}
	record = appendTable(record, b.entries)
	epoch := m.cfg.LeaderEpoch()
	for i, whole := range b.batches {
		at := len(record)
		record = append(record, whole...)
		batch.Batch(record[at:]).SetPlace(b.entries[i].Base, epoch)
	}
	return record
}

// decideAll goes through what waits until the message is full.
func (l *Log) decideAll(limit, most int, deletes []*Delete) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.decideAppends(limit, most)
	if rest := l.decideDeletes(deletes, limit); len(rest) > 0 {
		l.deleteLater(rest)
	}
}

func (l *Log) decideAppends(limit, most int) {
	b := &l.build
	n := 0
	for ; n < len(b.waiting); n++ {
		a := b.waiting[n]
		switch {
		case a.canceled.Load() || a.Overtaken != nil && a.Overtaken():
			a.end(ErrCanceled)
		case bodySize(1, len(a.Batch)) > most:
			a.end(fmt.Errorf("%w: batch of %d bytes", log.ErrTooLarge, len(a.Batch)))
		case !b.fits(len(a.Batch), limit):
			b.keepFrom(n)
			return
		default:
			l.decide(a)
		}
	}
	b.keepFrom(n)
}

// deleteLater puts deletions in front of those that wait.
func (l *Log) deleteLater(deletes []*Delete) {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	l.deletes = append(slices.Clone(deletes), l.deletes...)
}

// keepFrom leaves the appends from n on for the next message.
func (b *builder) keepFrom(n int) {
	rest := copy(b.waiting, b.waiting[n:])
	clear(b.waiting[rest:])
	b.waiting = b.waiting[:rest]
}

// Committed answers everything that the message settled.
func (m *machine) Committed(sent time.Time) {
	l, b := (*Log)(m), &m.build
	m.mu.Lock()
	m.confirmed = sent
	m.mu.Unlock()
	m.cfg.Metrics.appended(len(b.batches), b.bytes)
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, a := range b.building {
		l.answer(a)
	}
	l.answerDeletes()
	for _, c := range b.confirms {
		c <- nil
	}
	b.reset()
}

// Conflict puts what was built back in front of what waits, to be validated again from the new state. Where nobody can tell whether
// the message is in the log, producers with sequence numbers find out by them; the others cannot be told.
func (m *machine) Conflict(unknown bool) {
	b := &m.build
	again := b.building[:0:0]
	for _, a := range b.building {
		if unknown && a.Batch.ProducerID() < 0 {
			a.end(ErrUnknown)
			continue
		}
		again = append(again, a)
	}
	b.waiting = append(again, b.waiting...)
	(*Log)(m).deleteLater(b.deleting)
	m.queueMu.Lock()
	m.confirms = append(m.confirms, b.confirms...)
	m.queueMu.Unlock()
	b.reset()
}

// Checkpoint writes the state, without producers that have been silent for long.
func (m *machine) Checkpoint(dst []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.state.partitions {
		p.expire(m.state.newest - m.cfg.ProducerExpiry.Milliseconds())
	}
	return m.state.append(dst)
}

// Needs is where the first batch is that a partition still has.
func (m *machine) Needs() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	needs := uint64(math.MaxUint64)
	for _, p := range m.state.partitions {
		if len(p.index.entries) > 0 {
			needs = min(needs, p.index.entries[0].sequence)
		}
	}
	return needs
}

// Fail ends all that waits.
func (m *machine) Fail(err error) {
	b := &m.build
	m.queueMu.Lock()
	m.ended = err
	all := append(append(b.building[:len(b.building):len(b.building)], b.waiting...), m.queue...)
	confirms := append(b.confirms[:len(b.confirms):len(b.confirms)], m.confirms...)
	deletes := append(b.deleting[:len(b.deleting):len(b.deleting)], m.deletes...)
	m.queue, m.confirms, m.deletes = nil, nil, nil
	m.queueMu.Unlock()
	for _, d := range deletes {
		d.end(err)
	}
	for _, a := range all {
		a.end(err)
	}
	for _, c := range confirms {
		c <- err
	}
	(*Log)(m).Interrupt()
}
