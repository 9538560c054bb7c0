package topiclog

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sort"

	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
)

// ErrTransaction is a batch that does not belong to the open transaction of its producer, or to one that has ended: INVALID_TXN_STATE.
// It rests on a confirmed tail.
var ErrTransaction = errors.New("topiclog: not a batch of an open transaction")

// transactions is what a partition knows of its producers' transactions (ProducerStateManager's ongoingTxns and TransactionIndex).
type transactions struct {
	producers map[int64]standing
	unstable  int64     // smallest first offset of the open ones, -1 if none is open
	aborted   []Aborted // in the order of their markers
}

// standing is how one producer stands with its transactions.
type standing struct {
	open   bool
	epoch  int16
	number uint32 // of the open transaction, as its coordinator counts
	first  int64  // offset of its first batch

	ended  bool
	newest uint32 // number of the newest transaction that has ended
}

// Aborted is the range of a transaction that was aborted.
type Aborted struct {
	ProducerID  int64
	First, Last int64 // offsets of its first record and of its marker
	Stable      int64 // the last stable offset when the marker was written
}

func newTransactions() transactions {
	return transactions{producers: map[int64]standing{}, unstable: -1}
}

// after tells whether a transaction came after another of the same producer; numbers wrap.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// over tells whether a marker finds nothing to end: its transaction has ended, or one after it is open.
func (s *standing) over(number uint32) bool {
	return s.ended && !after(number, s.newest) || s.open && after(s.number, number)
}

// admits judges a batch that is not a marker.
func (s *standing) admits(b batch.Batch, number uint32) error {
	switch {
	case !b.Transactional() && !s.open:
	case !b.Transactional(), s.ended && !after(number, s.newest), s.open && number != s.number:
		return ErrTransaction
	}
	return nil
}

// begin takes in a batch of a transaction.
func (s *standing) begin(epoch int16, number uint32, offset int64) {
	if !s.open {
		s.open, s.epoch, s.number, s.first = true, epoch, number, offset
	}
}

// end takes in a marker.
func (s *standing) end(number uint32) {
	*s = standing{ended: true, newest: number}
}

// apply takes in a batch that is committed, and its number.
func (t *transactions) apply(b batch.Batch, number uint32) {
	if !b.Transactional() || b.ProducerID() < 0 {
		return
	}
	s, offset := t.producers[b.ProducerID()], b.BaseOffset()
	if !b.Control() {
		s.begin(b.ProducerEpoch(), number, offset)
		t.producers[b.ProducerID()] = s
		if t.unstable < 0 {
			t.unstable = offset
		}
		return
	}
	if m, ok := b.Marker(); ok {
		was := s
		s.end(number)
		t.producers[b.ProducerID()] = s
		t.ended(b.ProducerID(), was, m.Commit, offset)
	}
}

// ended settles what a transaction held back, if one was open.
func (t *transactions) ended(id int64, was standing, commit bool, offset int64) {
	if !was.open {
		return
	}
	if was.first == t.unstable {
		t.unstable = t.smallest()
	}
	if !commit {
		t.aborted = append(t.aborted, Aborted{id, was.first, offset, t.stable(offset + 1)})
	}
}

func (t *transactions) smallest() int64 {
	first := int64(-1)
	for _, s := range t.producers {
		if s.open && (first < 0 || s.first < first) {
			first = s.first
		}
	}
	return first
}

// stable is the last stable offset of a partition that ends at next: up to there every transaction has ended.
func (t *transactions) stable(next int64) int64 {
	if t.unstable >= 0 {
		return t.unstable
	}
	return next
}

// startAt forgets aborted transactions that lie below a new log start offset. Nobody is told of them any more.
func (t *transactions) startAt(start int64) {
	if n := t.endingAt(start); n > 0 {
		t.aborted = slices.Clone(t.aborted[n:])
	}
}

// endingAt is the index of the first aborted transaction whose marker is at an offset or behind it.
func (t *transactions) endingAt(offset int64) int {
	return sort.Search(len(t.aborted), func(i int) bool { return t.aborted[i].Last >= offset })
}

// abortedIn lists the aborted transactions that have records from one offset up to another. One that was stable only behind the end
// is followed by none that began before it.
func (t *transactions) abortedIn(from, to int64) []Aborted {
	var all []Aborted
	for _, a := range t.aborted[t.endingAt(from):] {
		if a.First < to {
			all = append(all, a)
		}
		if a.Stable >= to {
			break
		}
	}
	return all
}

// stable is a partition's last stable offset.
func (p *partition) stable() int64 { return max(p.start, p.transactions.stable(p.next)) }

// abortedIn is told with what was read. Of what was deleted meanwhile nobody knows any more, so that it may not be shown.
func (l *Log) abortedIn(number int32, from, to int64) ([]Aborted, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := l.state.partitions[number]
	if from < p.start {
		return nil, outOfRange(from, Offsets{p.start, p.next})
	}
	return p.transactions.abortedIn(from, to), nil
}

// Stable is a partition's last stable offset: every transaction that began before it has ended.
func (l *Log) Stable(number int32) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.state.partitions[number]; p != nil {
		return p.stable()
	}
	return 0
}

// OpenTransaction is the number of a producer's open transaction in a partition; false if it has none under this epoch.
func (l *Log) OpenTransaction(number int32, producerID int64, epoch int16) (uint32, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := l.state.partitions[number]
	if p == nil {
		return 0, false
	}
	s := p.transactions.producers[producerID]
	return s.number, s.open && s.epoch == epoch
}

// standing is how a producer stands once the message being built is committed.
func (b *builder) standing(key stateKey, p *partition) standing {
	s, ok := b.standings[key]
	if !ok && p != nil {
		s = p.transactions.producers[key.producer]
	}
	return s
}

// decideMarker tells whether a control batch goes into the message, or finds its answer. l.mu is held for reading.
func (l *Log) decideMarker(a *Append, p *partition) bool {
	b := &l.build
	key, epoch := stateKey{a.Partition, a.Batch.ProducerID()}, a.Batch.ProducerEpoch()
	state, tentative := b.states[key]
	known := tentative
	if !known && p != nil {
		state, known = p.producers[key.producer]
	}
	s := b.standing(key, p)
	switch {
	case s.over(a.Number):
		l.answerWithout(a, -1, nil, tentative)
		return false
	case known && epoch < state.Epoch:
		l.answerWithout(a, -1, producer.ErrInvalidEpoch, tentative)
		return false
	}
	state.Raise(epoch, 0)
	s.end(a.Number)
	b.states[key], b.standings[key] = state, s
	return true
}

const standingSize, abortedSize = 27, 32

// append writes the open and the ended transactions, producers in their order, and the aborted ones.
func (t *transactions) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t.producers)))
	for _, id := range slices.Sorted(maps.Keys(t.producers)) {
		dst = binary.BigEndian.AppendUint64(dst, uint64(id))
		dst = t.producers[id].append(dst)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t.aborted)))
	for _, a := range t.aborted {
		for _, v := range []int64{a.ProducerID, a.First, a.Last, a.Stable} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

func (s standing) append(dst []byte) []byte {
	flags := byte(0)
	if s.open {
		flags |= 1
	}
	if s.ended {
		flags |= 2
	}
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.epoch))
	dst = binary.BigEndian.AppendUint32(dst, s.number)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.first))
	return binary.BigEndian.AppendUint32(dst, s.newest)
}

// transactions reads what append wrote.
func (r *reader) transactions() transactions {
	t := newTransactions()
	for range r.count(standingSize) {
		id, flags := int64(r.u64()), r.take(1)[0]
		s := standing{open: flags&1 != 0, ended: flags&2 != 0}
		s.epoch, s.number, s.first, s.newest = int16(binary.BigEndian.Uint16(r.take(2))), r.u32(), int64(r.u64()), r.u32()
		t.producers[id] = s
	}
	for range r.count(abortedSize) {
		t.aborted = append(t.aborted, Aborted{int64(r.u64()), int64(r.u64()), int64(r.u64()), int64(r.u64())})
	}
	t.unstable = t.smallest()
	return t
}
