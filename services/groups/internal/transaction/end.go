package transaction

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// End is a producer's decision (EndTxn).
type End struct {
	ProducerID int64
	Epoch      int16
	Commit     bool
	// Bump has the epoch rise with every transaction, so that a batch which
	// comes late is fenced (KIP-890, transaction.version 2). NewID is for when
	// the epochs run out.
	Bump  bool
	NewID int64
}

// End decides the transaction. The result is nil where nothing changes: the
// request is a repeated one.
func (t *Transaction) End(now time.Time, q End) (*Transaction, *kerr.Error) {
	if t == nil || t.ProducerID != q.ProducerID && !(q.Bump && t.PreviousID == q.ProducerID) {
		return nil, kerr.InvalidProducerIDMapping
	}
	if q.Bump && t.repeats(q) {
		return nil, t.again(q)
	}
	if t.ProducerID != q.ProducerID || t.Epoch != q.Epoch {
		return nil, kerr.ProducerFenced
	}
	switch {
	case t.State == Ongoing, q.Bump && !q.Commit && t.Idle():
		return t.decided(now, q), nil // an empty transaction may be aborted from version 2 on
	case q.Bump:
		return nil, kerr.InvalidTxnState
	}
	return nil, t.again(q)
}

// repeats tells that this decision was taken already and its answer was lost:
// the epoch has risen meanwhile.
func (t *Transaction) repeats(q End) bool {
	if t.State == Empty || t.State == Ongoing {
		return false
	}
	return t.ProducerID == q.ProducerID && t.Previous != none && t.Previous == q.Epoch || t.PreviousID == q.ProducerID && t.Epoch == 0
}

// again is the answer to a decision in a state in which it was taken before.
func (t *Transaction) again(q End) *kerr.Error {
	commit := t.State == PrepareCommit || t.State == CompleteCommit
	switch {
	case t.State == Empty || commit != q.Commit:
		return kerr.InvalidTxnState
	case t.State.Ending():
		return kerr.ConcurrentTransactions
	}
	return nil
}

func (t *Transaction) decided(now time.Time, q End) *Transaction {
	n := t.next(now)
	if t.State != Ongoing { // nothing to abort but what may come late
		n.Number, n.Started = n.Number+1, now
		n.Partitions = nil
	}
	n.State = PrepareAbort
	if q.Commit {
		n.State = PrepareCommit
	}
	if !q.Bump {
		return n
	}
	// The markers carry the new epoch, under the producer id that wrote the
	// batches; the new id comes with the last marker.
	n.Previous, n.Epoch = t.Epoch, t.Epoch+1
	if n.Epoch > lastEpoch {
		n.NextID = q.NewID
	}
	return n
}
