package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// commit publishes what the machine built until its fate is known: in the log (Committed), or certainly not (Conflict).
// An error is final, or ctx's.
func (l *Log) commit(ctx context.Context, record []byte) error {
	began := l.cfg.Now()
	for {
		l.seal(record)
		sent := l.cfg.Now()
		n, err := l.publish(ctx, false, record)
		switch {
		case err != nil:
			return err
		case n.mine:
			l.metrics.committed(len(record), l.cfg.Now().Sub(began))
			l.machine.Committed(sent)
			if n.foreign { // came after it
				l.machine.Conflict(false)
			}
			return nil
		case n.foreign:
			l.metrics.conflict()
			l.machine.Conflict(n.lost)
			return nil
		}
		// Only confirmations of others came first: the state, and so all that was decided, is unchanged. Take the next place.
	}
}

// seal writes the header of a message that is to follow the chain as it is now.
func (l *Log) seal(record []byte) {
	l.number++
	kind := KindMessage
	if len(record) == HeaderSize {
		kind = KindEmpty
	}
	Header{Kind: kind, Application: l.machine.Application(), ID: ID{l.cfg.Writer, l.number}, Predecessor: l.chain.Last}.Put(record)
}

// publish stores one record at the tail, or finds out why not. It returns when the record stands and is taken in (mine), or when
// the chain has moved, so that the record as it is can never stand. As long as neither is so, the very same record is published
// again: under an unchanged condition at most one copy can land (rules 3 and 4).
func (l *Log) publish(ctx context.Context, checkpoint bool, record []byte) (news, error) {
	for attempt := 0; ; attempt++ {
		err := l.append(ctx, checkpoint, record)
		if err == nil {
			var n news
			own := Record{Sequence: l.chain.Tail + 1, Time: l.cfg.Now(), Data: record}
			return n, l.take(own, record, &n)
		}
		if ctx.Err() != nil {
			return news{}, ctx.Err()
		}
		n, err := l.findOut(ctx, record, err)
		if err != nil || n.mine || n.foreign || n.emptied || (n.moved && checkpoint) {
			return n, err
		}
		l.metrics.republished()
		if attempt == worrying {
			l.log.Warn("message not stored yet; it is tried again until it is, and clients are told to try again", "bytes", len(record), "after", l.chain.Tail)
		}
		if err := pause(ctx, attempt); err != nil {
			return news{}, err
		}
	}
}

// worrying is the attempt at which people are told, about two seconds after the first.
const worrying = 16

// append is one attempt. It outlives ctx by the timeout, so that a log that is closed learns what became of its last message.
func (l *Log) append(ctx context.Context, checkpoint bool, record []byte) error {
	if len(record) > l.storage.MaxRecord() {
		return finalError{fmt.Errorf("log: record of %d bytes, at most %d", len(record), l.storage.MaxRecord())}
	}
	try, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.AppendTimeout)
	defer cancel()
	return l.storage.Append(try, checkpoint, record, l.chain.Tail)
}

// findOut reads up to the place aimed at after a refusal or an unknown outcome. Errors that may mend count as no news.
func (l *Log) findOut(ctx context.Context, record []byte, why error) (news, error) {
	if isFinal(why) {
		return news{}, why
	}
	refused := errors.Is(why, ErrRefused)
	if !refused {
		l.log.Debug("outcome of a publish is unknown", "err", why)
	}
	n, err := l.catchUp(ctx, record)
	if err == nil && !n.moved && refused {
		// Something is at the place aimed at, yet the replica that answered does not have it. The leader may.
		n, err = l.askLeader(ctx, record)
	}
	return n, l.tolerate("read log after a publish", err)
}

// askLeader looks at the one place behind the tail.
func (l *Log) askLeader(ctx context.Context, record []byte) (n news, err error) {
	try, cancel := context.WithTimeout(ctx, l.cfg.AppendTimeout)
	defer cancel()
	r, err := l.storage.ReadLeader(try, l.chain.Tail+1)
	if errors.Is(err, ErrNotFound) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	return n, l.take(r, record, &n)
}

// pause waits before the same is tried again: a millisecond at first, a quarter of a second in the end, never in step with others.
func pause(ctx context.Context, attempt int) error {
	d := time.Millisecond << min(attempt, 8)
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
