package topiclog

import (
	"fmt"
	"math"
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
		p.apply(parsed, i, s.newest, s.bytes)
		p.wake(e.Length)
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
	m.queueMu.Unlock()
	l.decideAll(limit, most)
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
func (l *Log) decideAll(limit, most int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	b := &l.build
	n := 0
	for ; n < len(b.waiting); n++ {
		a := b.waiting[n]
		switch {
		case a.canceled.Load():
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
	m.cfg.Metrics.appended(len(b.entries), b.bytes)
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, a := range b.building {
		l.answer(a)
	}
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

// Needs is everything: nothing deletes records yet but the deletion of their topic.
func (m *machine) Needs() uint64 { return 0 }

// Fail ends all that waits.
func (m *machine) Fail(err error) {
	b := &m.build
	m.queueMu.Lock()
	m.ended = err
	all := append(append(b.building[:len(b.building):len(b.building)], b.waiting...), m.queue...)
	confirms := append(b.confirms[:len(b.confirms):len(b.confirms)], m.confirms...)
	m.queue, m.confirms = nil, nil
	m.queueMu.Unlock()
	for _, a := range all {
		a.end(err)
	}
	for _, c := range confirms {
		c <- err
	}
	(*Log)(m).Interrupt()
}
