package topiclog

import "slices"

// End as a Delete's Before is the partition's end, whatever that is when its turn comes.
const End = -1

// Delete moves a partition's log start offset up: DeleteRecords, or retention. The fields below Done are the outcome, to be read after
// it was sent on Done.
type Delete struct {
	Partition int32
	Before    int64          // the first offset that stays, or End. One that is gone already changes nothing.
	Done      chan<- *Delete // has room for it: the log never waits

	Start int64 // the partition's log start offset
	// Err is nil once the start is committed; ErrOutOfRange for one behind the end, which rests on a confirmed tail. Anything else leaves
	// it open, and asking again does no harm.
	Err error
}

// Delete queues a deletion; the outcome is sent on its Done.
func (l *Log) Delete(d *Delete) {
	l.queueMu.Lock()
	err := l.ended
	if err == nil {
		l.deletes = append(l.deletes, d)
	}
	l.queueMu.Unlock()
	if err != nil {
		d.end(err)
		return
	}
	l.log.Wake()
}

func (d *Delete) end(err error) {
	d.Err = err
	d.Done <- d
}

// GiveUp takes a deletion out of the queue if it is still there: while the stream is away they must not pile up. Its outcome may or may
// not be sent.
func (l *Log) GiveUp(d *Delete) {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if i := slices.Index(l.deletes, d); i >= 0 {
		l.deletes = slices.Delete(l.deletes, i, i+1)
	}
}

// decideDeletes takes as many deletions into the message as fit. l.mu is held for reading.
func (l *Log) decideDeletes(deletes []*Delete, limit int) (rest []*Delete) {
	b := &l.build
	for i, d := range deletes {
		if !b.fits(0, limit) {
			return deletes[i:]
		}
		l.decideDelete(d)
	}
	return nil
}

// decideDelete settles one. What changes nothing, and what is refused, waits for the confirmation that the message is.
func (l *Log) decideDelete(d *Delete) {
	b := &l.build
	b.deleting, b.certain = append(b.deleting, d), true
	next, before := l.nextOf(d.Partition), d.Before
	if before == End {
		before = next
	}
	d.Err = nil
	switch p := l.state.partitions[d.Partition]; {
	case before < 0 || before > next:
		d.Err = ErrOutOfRange
	case p == nil && before > 0 || p != nil && before > p.start:
		b.entries = append(b.entries, Entry{Partition: d.Partition, Base: next, Next: next, Start: before})
	}
}

// answerDeletes sends the outcomes; l.mu is held.
func (l *Log) answerDeletes() {
	for _, d := range l.build.deleting {
		if p := l.state.partitions[d.Partition]; p != nil {
			d.Start = p.start
		}
		d.Done <- d
	}
}
