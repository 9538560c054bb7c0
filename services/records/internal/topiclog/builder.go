package topiclog

import (
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
)

// builder makes the next message from what waits. It is owned by the log's goroutine. What it decides is tentative until the message
// is committed: the overlay holds the state as it would be then.
type builder struct {
	waiting  []*Append // in order, before the shared queue
	building []*Append // in the message being committed, or answered with it
	deleting []*Delete // settled by the message being committed
	confirms []chan<- error

	entries   []Entry       // the batches', then those that only move a log start
	batches   []batch.Batch // of the first entries
	bytes     int
	certain   bool // somebody is refused: the message must confirm the tail
	next      map[int32]int64
	states    map[stateKey]producer.State
	standings map[stateKey]standing
}

type stateKey struct {
	partition int32
	producer  int64
}

func (b *builder) init() {
	b.next, b.states, b.standings = map[int32]int64{}, map[stateKey]producer.State{}, map[stateKey]standing{}
}

func (b *builder) reset() {
	clear(b.building)
	clear(b.deleting)
	clear(b.batches)
	b.building, b.deleting, b.entries, b.batches = b.building[:0], b.deleting[:0], b.entries[:0], b.batches[:0]
	b.bytes, b.certain, b.confirms = 0, false, nil
	clear(b.next)
	clear(b.states)
	clear(b.standings)
}

// fits tells whether another batch of so many bytes may go into the same message.
func (b *builder) fits(length, limit int) bool {
	return len(b.entries) == 0 || bodySize(len(b.entries)+1, b.bytes+length) <= limit
}

// decide takes one append into the message, or finds its answer. l.mu is held for reading.
func (l *Log) decide(a *Append) {
	b := &l.build
	p := l.state.partitions[a.Partition]
	id := a.Batch.ProducerID()
	switch {
	case a.Batch.Control():
		if !l.decideMarker(a, p) {
			return
		}
	case id >= 0:
		key := stateKey{a.Partition, id}
		state, tentative := b.states[key]
		known := tentative
		if !known && p != nil {
			state, known = p.producers[id]
		}
		base, duplicate, err := producer.Check(state, known, a.Batch.ProducerEpoch(), sequences(a.Batch, 0))
		s := b.standing(key, p)
		if err == nil && !duplicate {
			err = s.admits(a.Batch, a.Number)
		}
		if duplicate || err != nil {
			l.answerWithout(a, base, err, tentative)
			return
		}
		state.Add(a.Batch.ProducerEpoch(), sequences(a.Batch, l.nextOf(a.Partition)), 0)
		b.states[key] = state
		if a.Batch.Transactional() {
			s.begin(a.Batch.ProducerEpoch(), a.Number, l.nextOf(a.Partition))
			b.standings[key] = s
		}
	}
	a.Base, a.Err = l.nextOf(a.Partition), nil
	next := a.Base + int64(a.Batch.LastOffsetDelta()) + 1
	b.next[a.Partition] = next
	b.entries = append(b.entries, Entry{Partition: a.Partition, Base: a.Base, Next: next, Length: len(a.Batch), MaxTime: a.Batch.MaxTimestamp(), Start: -1, Number: a.Number})
	b.batches = append(b.batches, a.Batch)
	b.bytes += len(a.Batch)
	b.building = append(b.building, a)
}

// answerWithout settles an append that is not to be written. A duplicate of a committed batch is answered at once; one of a batch in
// this very message waits for it, and a refusal for the confirmation that the message is.
func (l *Log) answerWithout(a *Append, base int64, err error, tentative bool) {
	a.Base, a.Err = base, err
	if err == nil {
		l.cfg.Metrics.duplicate()
		if !tentative {
			l.answer(a)
			return
		}
	}
	l.build.certain = l.build.certain || err != nil
	l.build.building = append(l.build.building, a)
}

// nextOf is the offset that the next record of a partition gets.
func (l *Log) nextOf(number int32) int64 {
	if next, ok := l.build.next[number]; ok {
		return next
	}
	if p := l.state.partitions[number]; p != nil {
		return p.next
	}
	return 0
}

// answer sends an outcome; l.mu is held.
func (l *Log) answer(a *Append) {
	if p := l.state.partitions[a.Partition]; p != nil {
		a.Start = p.start
	}
	if a.Err != nil {
		l.cfg.Metrics.refused()
	}
	a.Done <- a
}
