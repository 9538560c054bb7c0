// Package transaction is the life of one transactional id: what its coordinator
// decides, without I/O or clock. A Transaction is a value that is never changed:
// each decision gives the next one, which counts once the log has it. Its Kafka
// counterparts are TransactionMetadata and the decisions of
// TransactionCoordinator.
package transaction

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State of a transactional id (TransactionState).
type State uint8

// States. Numbers are stored.
const (
	Empty          State = iota // nothing has begun
	Ongoing                     // has partitions
	PrepareCommit               // decided; markers are on their way
	PrepareAbort                // likewise
	CompleteCommit              // every marker stands
	CompleteAbort
)

var states = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}

// String is Kafka's name of the state.
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return "Unknown"
}

// IsState tells whether a state has that name.
func IsState(name string) bool { return slices.Contains(states[:], name) }

// Ending tells whether the outcome is decided and markers are still to be
// written.
func (s State) Ending() bool { return s == PrepareCommit || s == PrepareAbort }

// Partition is one that a transaction writes to. A topic that is deleted and
// made again is another one.
type Partition struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
}

// none is the epoch or producer id that is not there.
const none = -1

// lastEpoch is never given to a producer: it fences the one that has the epoch
// before (TransactionMetadata.isEpochExhausted).
const lastEpoch = math.MaxInt16 - 1

// Transaction is what is known of one transactional id.
type Transaction struct {
	ProducerID int64
	Epoch      int16
	// Previous is the epoch before the last bump that the producer asked for, -1
	// if there is none: a repeated request is known by it.
	Previous int16
	// PreviousID is the producer id before the epochs ran out, -1 for none.
	PreviousID int64
	// NextID follows when this transaction has ended, because the epochs of
	// ProducerID have run out; -1 for none.
	NextID  int64
	Timeout time.Duration
	State   State
	// Number counts the transactions of this id. Partitions store it, so that a
	// marker or a batch that comes late meets no later transaction.
	Number     uint32
	Partitions map[Partition]struct{}
	Started    time.Time // of the present transaction; zero: none
	Updated    time.Time
}

// next is a copy to be changed.
func (t *Transaction) next(now time.Time) *Transaction {
	n := *t
	n.Partitions = maps.Clone(t.Partitions)
	n.Updated = now
	return &n
}

// check refuses who is not this id's present producer.
func (t *Transaction) check(id int64, epoch int16) *kerr.Error {
	switch {
	case t != nil && t.NextID != none && t.NextID == id:
		return kerr.ConcurrentTransactions // it was told so with the decision
	case t == nil || t.ProducerID != id:
		return kerr.InvalidProducerIDMapping
	case t.Epoch != epoch:
		return kerr.ProducerFenced
	case t.State.Ending():
		return kerr.ConcurrentTransactions
	}
	return nil
}

// Add has partitions belong to the transaction, which begins with the first of
// them. The result is nil where nothing changes (AddPartitionsToTxn,
// AddOffsetsToTxn).
func (t *Transaction) Add(now time.Time, id int64, epoch int16, partitions []Partition) (*Transaction, *kerr.Error) {
	if e := t.check(id, epoch); e != nil {
		return nil, e
	}
	if t.State == Ongoing && t.has(partitions) {
		return nil, nil
	}
	n := t.next(now)
	if n.State != Ongoing {
		n.State, n.Started, n.Number = Ongoing, now, n.Number+1
		n.Partitions = map[Partition]struct{}{}
	}
	for _, p := range partitions {
		n.Partitions[p] = struct{}{}
	}
	return n, nil
}

func (t *Transaction) has(partitions []Partition) bool {
	return !slices.ContainsFunc(partitions, func(p Partition) bool { _, in := t.Partitions[p]; return !in })
}

// Verify tells whether partitions belong to the present transaction of a
// producer (KIP-890): that of a late batch does not.
func (t *Transaction) Verify(id int64, epoch int16, partitions ...Partition) *kerr.Error {
	if e := t.check(id, epoch); e != nil {
		return e
	}
	if t.State != Ongoing || !t.has(partitions) {
		return kerr.InvalidTxnState
	}
	return nil
}

// Completed is the transaction when every marker stands.
func (t *Transaction) Completed(now time.Time) *Transaction {
	n := t.next(now)
	n.State = CompleteCommit
	if t.State == PrepareAbort {
		n.State = CompleteAbort
	}
	n.Partitions, n.Started = nil, time.Time{}
	if n.NextID != none {
		n.PreviousID, n.ProducerID, n.NextID, n.Epoch, n.Previous = n.ProducerID, n.NextID, none, 0, none
	}
	return n
}

// Producer is who may go on with this transactional id.
func (t *Transaction) Producer() (id int64, epoch int16) {
	if t.NextID != none {
		return t.NextID, 0
	}
	return t.ProducerID, t.Epoch
}

// Overdue is when the transaction is to be aborted; zero for none.
func (t *Transaction) Overdue() time.Time {
	if t.State != Ongoing {
		return time.Time{}
	}
	return t.Started.Add(t.Timeout)
}

// Abandon aborts a transaction whose producer has been silent for too long, or
// has been replaced, and fences that producer.
func (t *Transaction) Abandon(now time.Time) *Transaction {
	n := t.next(now)
	n.State, n.Previous = PrepareAbort, none
	if n.Epoch < math.MaxInt16 {
		n.Epoch++
	}
	return n
}

// Idle tells whether nothing but the producer's identity is left of it.
func (t *Transaction) Idle() bool { return t.State != Ongoing && !t.State.Ending() }
