package transaction

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Init is a producer that comes (InitProducerId with a transactional id).
type Init struct {
	Timeout time.Duration
	// ProducerID and Epoch are what the producer had; -1 for none (KIP-360).
	ProducerID int64
	Epoch      int16
	// NewID is a producer id that nobody has, for a transactional id that is new
	// or whose epochs have run out.
	NewID int64
}

// Init gives a producer its identity and fences those before it. t is nil for
// an id that was never seen. An ongoing transaction is aborted first: the result
// is then one that is ending, and the error CONCURRENT_TRANSACTIONS, which has
// the producer come again.
func (t *Transaction) Init(now time.Time, q Init) (*Transaction, *kerr.Error) {
	if t == nil {
		return &Transaction{ProducerID: q.NewID, Previous: none, PreviousID: none, NextID: none, Timeout: q.Timeout, Updated: now}, nil
	}
	switch {
	case q.ProducerID != none && !t.knows(q):
		return nil, kerr.ProducerFenced
	case t.State.Ending():
		return nil, kerr.ConcurrentTransactions
	case t.State == Ongoing:
		return t.Abandon(now), kerr.ConcurrentTransactions
	}
	return t.bump(now, q)
}

// knows tells whether a producer's id is this one's, now or before the epochs
// ran out.
func (t *Transaction) knows(q Init) bool {
	return q.ProducerID == t.ProducerID || q.ProducerID == t.PreviousID && q.Epoch >= lastEpoch-1
}

// bump gives the next epoch, or the same again to who repeats his request.
func (t *Transaction) bump(now time.Time, q Init) (*Transaction, *kerr.Error) {
	n := t.next(now)
	n.Timeout, n.State = q.Timeout, Empty
	switch {
	case q.ProducerID != none && q.ProducerID == t.PreviousID:
		return n, nil // the answer with the new id was lost
	case q.ProducerID != none && q.Epoch == t.Previous && t.Previous != none:
		return n, nil // the answer with the new epoch was lost
	case q.ProducerID != none && q.Epoch != t.Epoch:
		return nil, kerr.ProducerFenced
	case t.Epoch >= lastEpoch:
		n.PreviousID, n.ProducerID, n.Epoch, n.Previous = t.ProducerID, q.NewID, 0, none
		return n, nil
	}
	n.Epoch, n.Previous = t.Epoch+1, none
	if q.ProducerID != none {
		n.Previous = q.Epoch
	}
	return n, nil
}
