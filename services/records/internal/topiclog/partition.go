package topiclog

import (
	"fmt"
	"slices"
	"sort"

	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
)

// tailPositions is how many of a partition's newest batches are known by their exact place.
const tailPositions = 512

// partition is the committed state of one partition. It is a pure function of the log's messages.
type partition struct {
	start, next  int64  // log start offset, and the offset of the next record: the high watermark
	bytes        uint64 // of all batches ever
	epochs       []epochStart
	producers    map[int64]producer.State
	transactions transactions
	index        index
	tail         []position // of the newest batches, ascending

	waiters map[*Waiter]struct{} // not state: who waits for more
}

// epochStart is the offset of the first record stored under a leader epoch.
type epochStart struct {
	epoch int32
	start int64
}

// position is where a batch is.
type position struct {
	base, next int64
	sequence   uint64
	length     int32
	entry      int32 // in the message's table
}

func newPartition() *partition {
	return &partition{producers: map[int64]producer.State{}, transactions: newTransactions()}
}

// check refuses an entry that does not follow what is there: the log cannot hold one unless something is badly wrong.
func (p *partition) check(e *Entry) error {
	if e.Length > 0 && e.Base != p.next {
		return fmt.Errorf("%w: offset %d of partition %d follows %d", ErrMalformed, e.Base, e.Partition, p.next)
	}
	if e.Start > max(p.next, e.Next) {
		return fmt.Errorf("%w: start offset %d of partition %d lies behind its end %d", ErrMalformed, e.Start, e.Partition, p.next)
	}
	return nil
}

// apply takes in an entry that was checked. millis is when the stream stored it; logBytes is the size of the log before it.
func (p *partition) apply(m *Message, i int, millis int64, logBytes uint64) {
	e := &m.Entries[i]
	if e.Length > 0 {
		b := m.Batch(e)
		p.index.add(indexEntry{e.Base, m.Sequence, p.bytes, e.MaxTime, millis}, logBytes)
		p.place(position{e.Base, e.Next, m.Sequence, int32(e.Length), int32(i)})
		p.bytes += uint64(e.Length)
		if n := len(p.epochs); n == 0 || b.LeaderEpoch() > p.epochs[n-1].epoch {
			p.epochs = append(p.epochs, epochStart{b.LeaderEpoch(), e.Base})
		}
		p.produced(b, millis)
		p.transactions.apply(b, e.Number)
		p.next = e.Next
	}
	if e.Start > p.start {
		p.startAt(e.Start)
	}
}

// startAt forgets what lies below a new log start offset. Of the leader epochs the one in which it lies begins there from now on.
func (p *partition) startAt(start int64) {
	p.start = start
	p.index.advance(start, p.next)
	p.transactions.startAt(start)
	n := 0
	for n+1 < len(p.epochs) && p.epochs[n+1].start <= start {
		n++
	}
	p.epochs = slices.Clone(p.epochs[n:])
	if len(p.epochs) > 0 {
		p.epochs[0].start = max(p.epochs[0].start, start)
	}
}

// place remembers a batch's position, and forgets the oldest by halves.
func (p *partition) place(at position) {
	if len(p.tail) == tailPositions {
		p.tail = p.tail[:copy(p.tail, p.tail[tailPositions/2:])]
	}
	p.tail = append(p.tail, at)
}

func (p *partition) produced(b batch.Batch, millis int64) {
	if id := b.ProducerID(); id >= 0 {
		s := p.producers[id]
		if b.Control() {
			s.Raise(b.ProducerEpoch(), millis)
		} else {
			s.Add(b.ProducerEpoch(), sequences(b, b.BaseOffset()), millis)
		}
		p.producers[id] = s
	}
}

// sequences is what a producer's state remembers of a batch.
func sequences(b batch.Batch, offset int64) producer.Batch {
	first := b.BaseSequence()
	return producer.Batch{First: first, Last: producer.Sequence(first, b.LastOffsetDelta()), Offset: offset}
}

// expire forgets producers that were last heard of before millis and have no open transaction.
func (p *partition) expire(before int64) {
	for id, s := range p.producers {
		if s.Updated < before && !p.transactions.producers[id].open {
			delete(p.producers, id)
			delete(p.transactions.producers, id)
		}
	}
}

// near is the known positions from the batch that contains an offset on; nil if that one is further back.
func (p *partition) near(offset int64) []position {
	if len(p.tail) == 0 || offset < p.tail[0].base {
		return nil
	}
	return p.tail[sort.Search(len(p.tail), func(i int) bool { return p.tail[i].next > offset }):]
}

// epochOf is the leader epoch under which a record was stored.
func (p *partition) epochOf(offset int64) int32 {
	i := sort.Search(len(p.epochs), func(i int) bool { return p.epochs[i].start > offset })
	if i == 0 {
		return -1
	}
	return p.epochs[i-1].epoch
}

// epochEnd is the largest known epoch up to the given one, and where it ends (KIP-101). One before all that are known ends where those
// begin; of a partition without records nothing is known: -1, -1.
func (p *partition) epochEnd(epoch int32) (int32, int64) {
	i := sort.Search(len(p.epochs), func(i int) bool { return p.epochs[i].epoch > epoch })
	switch {
	case len(p.epochs) == 0:
		return -1, -1
	case i == 0:
		return epoch, p.epochs[0].start
	case i == len(p.epochs):
		return p.epochs[i-1].epoch, p.next
	}
	return p.epochs[i-1].epoch, p.epochs[i].start
}
