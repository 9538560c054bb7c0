package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// readBytes is how much is read from the stream at once.
const readBytes = 1 << 20

// finalError is one that repeating does not mend: a valid message, or a checkpoint, that cannot be understood.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	var f finalError
	return errors.As(err, &f)
}

// errGap says that records which this reader has not seen are gone from the stream: a checkpoint has made them superfluous.
var errGap = errors.New("log: records between the tail and the next one are gone")

// news is what reading brought.
type news struct {
	moved   bool // anything at all
	mine    bool // the record looked for, and it was taken in
	foreign bool // another's valid message that changed the state
	emptied bool // another's valid confirmation: the chain moved, the state did not
	lost    bool // the place of the record looked for is purged: nobody can tell
}

// catchUp takes in everything that stands after the tail; own is a record of ours that may be among it.
func (l *Log) catchUp(ctx context.Context, own []byte) (news, error) {
	var n news
	for more := true; more; {
		var err error
		more, err = l.storage.Read(ctx, l.chain.Tail+1, readBytes, func(r Record) error { return l.take(r, own, &n) })
		if errors.Is(err, errGap) {
			return l.reload(ctx, n)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// reload starts over from the newest checkpoint, because the way there is gone.
func (l *Log) reload(ctx context.Context, n news) (news, error) {
	tail := l.chain.Tail
	if err := l.recover(ctx); err != nil {
		return n, err
	}
	if l.chain.Tail < tail {
		return n, fmt.Errorf("log: replica ends at %d, seen was %d", l.chain.Tail, tail)
	}
	l.metrics.reloaded()
	n.moved, n.foreign, n.lost = true, true, !n.mine
	return n, nil
}

// take judges one record that follows the tail and, if it counts, applies it.
func (l *Log) take(r Record, own []byte, n *news) error {
	h, body, err := ParseHeader(r.Data)
	if errors.Is(err, ErrVersion) {
		return finalError{fmt.Errorf("record %d: %w", r.Sequence, err)}
	}
	verdict := l.chain.Judge(r.Sequence, h) // a malformed record has kind 0: void
	switch verdict {
	case Old:
		return nil
	case Gap:
		return errGap
	case Valid:
		m := Message{Sequence: r.Sequence, ID: h.ID, Time: r.Time, Body: body, Own: own != nil && bytes.Equal(own, r.Data)}
		if err := l.apply(h, m, n); err != nil {
			return err
		}
	case Aside:
		l.passPart(r, own, n)
	case Void:
		l.metrics.void()
	}
	l.chain.Take(r.Sequence, h, verdict)
	if verdict == Void {
		l.showVoids()
	}
	n.moved, l.heard, l.silence = true, l.cfg.Now(), 0
	return nil
}

// apply hands a valid message to the machine.
func (l *Log) apply(h Header, m Message, n *news) error {
	if h.Application != l.machine.Application() {
		return finalError{fmt.Errorf("record %d: is of application %d, not %d", m.Sequence, h.Application, l.machine.Application())}
	}
	if h.Kind == KindMessage {
		if err := l.machine.Apply(m); err != nil {
			return finalError{fmt.Errorf("record %d: %w", m.Sequence, err)}
		}
	}
	l.sinceBytes += len(m.Body)
	l.sinceCount++
	l.holder = m.Own
	switch {
	case m.Own:
		n.mine = true
	case h.Kind == KindMessage:
		n.foreign = true
	default:
		n.emptied = true
	}
	return nil
}

// passPart notes the checkpoint parts that come by; the last one of a checkpoint makes it the newest.
func (l *Log) passPart(r Record, own []byte, n *news) {
	if own != nil && bytes.Equal(own, r.Data) {
		n.mine = true
	}
	p, err := ParsePart(r.Data)
	if err != nil {
		return
	}
	if p.Complete() && r.Sequence == p.First+uint64(p.Index) {
		l.checkpointStands(mark{p.First, r.Sequence, int(p.Count-1)*partBytes + len(p.Body)})
	}
}

// checkpointStands notes a new newest checkpoint.
func (l *Log) checkpointStands(m mark) {
	if m != l.checkpoint {
		l.previous = l.checkpoint
	}
	l.checkpoint, l.sinceBytes, l.sinceCount, l.checked = m, 0, 0, l.cfg.Now()
}
