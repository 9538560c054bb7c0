package topiclog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"kanal/services/records/internal/batch"
)

// Append is a batch on its way into the log. The fields below Done are the outcome, to be read after it was sent on Done.
type Append struct {
	Partition int32
	Batch     batch.Batch    // validated, or a marker; not modified
	Number    uint32         // of the transaction, if it belongs to one or ends it
	Done      chan<- *Append // has room for it: the log never waits
	// Overtaken, if set, tells whether somebody else may have been given this to
	// append; it ends with ErrCanceled then. It is asked with every decision.
	Overtaken func() bool

	Base  int64 // offset of the first record
	Start int64 // the partition's log start offset
	// Err is nil for an append that is committed and for a duplicate of one; producer.ErrOutOfOrder, producer.ErrInvalidEpoch and
	// ErrTransaction are refusals that rest on a confirmed tail; anything else leaves it open whether the batch is in the log.
	Err error

	canceled atomic.Bool
}

// ErrUnknown says that nobody can tell any more whether a batch is in the log.
var ErrUnknown = errors.New("topiclog: outcome unknown")

// ErrCanceled ends an Append that was given up before it was written.
var ErrCanceled = errors.New("topiclog: canceled")

// Cancel asks that a batch not be written if its turn has not come yet. The outcome is sent all the same, at once where the batch
// has not left the queue: while the stream is away, batches that nobody waits for must not pile up.
func (l *Log) Cancel(a *Append) {
	a.canceled.Store(true)
	l.queueMu.Lock()
	i := slices.Index(l.queue, a)
	if i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	l.queueMu.Unlock()
	if i >= 0 {
		a.end(ErrCanceled)
	}
}

func (a *Append) end(err error) {
	a.Err = err
	a.Done <- a
}

// Append queues a batch; the outcome is sent on its Done.
func (l *Log) Append(a *Append) {
	l.queueMu.Lock()
	err := l.ended
	if err == nil {
		l.queue = append(l.queue, a)
	}
	l.queueMu.Unlock()
	if err != nil {
		a.end(err)
		return
	}
	l.log.Wake()
}

// Confirm returns when a conditional write that was sent after the call, or at most maxAge before it, has committed: what the log
// shows now was the truth at some moment in between (rule 5).
func (l *Log) Confirm(ctx context.Context, maxAge time.Duration) error {
	if maxAge > 0 && l.confirmedSince(l.cfg.Now().Add(-maxAge)) {
		return nil
	}
	done := make(chan error, 1)
	l.queueMu.Lock()
	if l.ended != nil {
		defer l.queueMu.Unlock()
		return l.ended
	}
	l.confirms = append(l.confirms, done)
	l.queueMu.Unlock()
	l.log.Wake()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("confirm the tail of %s: %w", l.cfg.Name, ctx.Err())
	}
}

func (l *Log) confirmedSince(t time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.confirmed.After(t)
}
