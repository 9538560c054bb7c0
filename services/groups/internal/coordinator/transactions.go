package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/services/groups/internal/transaction"
)

// Markers has a decided transaction's markers written and returns when all of
// them stand; nil error, or ctx has ended. It may be called again for the same
// transaction, also by another instance.
type Markers func(ctx context.Context, id string, t *transaction.Transaction) error

// transactional is a transactional id with what is under way.
type transactional struct {
	*transaction.Transaction      // as the log has it; nil before its first entry
	deciding                 bool // a decision is on its way to the log
	marking                  bool // markers are being written
}

// decision is a step of a transactional id: nil for none.
type decision func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error)

// decided is the outcome of a decision: the transactional id as it stands then.
type decided struct {
	t *transaction.Transaction
	e *kerr.Error
}

// Decide takes a decision about a transactional id and returns when the log has
// it, with the error that the decision gave. Refusals, and consent that changes
// nothing, rest on a confirmed tail. Another decision on its way has the caller
// come again: CONCURRENT_TRANSACTIONS.
func (c *Coordinator) Decide(ctx context.Context, id string, d func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error)) (*transaction.Transaction, *kerr.Error) {
	out := ask(ctx, c, decided{e: kerr.NotCoordinator}, func(answer func(decided)) { c.decide(id, d, answer) })
	return out.t, out.e
}

func (c *Coordinator) decide(id string, d decision, answer func(decided)) {
	t := c.transactional(id)
	if t.deciding {
		answer(decided{nil, kerr.ConcurrentTransactions})
		return
	}
	again := func() { c.decide(id, d, answer) }
	next, e := d(c.cfg.Now(), t.Transaction)
	if next == nil {
		known := t.Transaction
		if e == kerr.ConcurrentTransactions {
			answer(decided{known, e})
			return
		}
		c.confirm(func(failed *kerr.Error) {
			if failed != nil {
				e = failed
			}
			answer(decided{known, e})
		}, again)
		c.forgetUnused(id, t)
		return
	}
	t.deciding = true
	c.submit([]log.Change{{Key: transactionKey(id), Value: next.Encode()}}, func(err error) {
		t.deciding = false
		switch {
		case err == nil:
			t.Transaction = next
			c.mark(id, t)
			answer(decided{next, e})
		case errors.Is(err, log.ErrConflict), errors.Is(err, log.ErrUnknown): // decided anew from what is in the log
			again()
		case errors.Is(err, log.ErrTooLarge):
			c.forgetUnused(id, t)
			answer(decided{nil, kerr.MessageTooLarge})
		default: // the log ends, and with it this coordinator
			c.forgetUnused(id, t)
			answer(decided{nil, kerr.NotCoordinator})
		}
	})
}

// transactional finds a transactional id or makes room for it.
func (c *Coordinator) transactional(id string) *transactional {
	t := c.transactions[id]
	if t == nil {
		t = new(transactional)
		c.transactions[id] = t
	}
	return t
}

func (c *Coordinator) forgetUnused(id string, t *transactional) {
	if t.Transaction == nil && !t.deciding && !t.marking && c.transactions[id] == t {
		delete(c.transactions, id)
	}
}

// mark has the markers of a decided transaction written, and then completes it.
// It goes on by itself: a client that is gone changes nothing.
func (c *Coordinator) mark(id string, t *transactional) {
	if t.Transaction == nil || !t.State.Ending() || t.marking || c.cfg.Markers == nil {
		return
	}
	t.marking = true
	ending := t.Transaction
	c.markers.Go(func() {
		err := c.cfg.Markers(c.marking, id, ending)
		c.inbox.post(func() { c.marked(id, t, ending, err) })
	})
}

// marked completes a transaction whose markers stand.
func (c *Coordinator) marked(id string, t *transactional, ending *transaction.Transaction, err error) {
	t.marking = false
	if err != nil {
		return // the coordinator ends
	}
	if t.Transaction == nil || t.Number != ending.Number || !t.State.Ending() {
		c.mark(id, t) // another holder was faster, and there may be the next one already
		c.forgetUnused(id, t)
		return
	}
	c.decide(id, func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		if t == nil || t.Number != ending.Number || !t.State.Ending() {
			return nil, nil
		}
		return t.Completed(now), nil
	}, func(decided) {})
}

// endOverdue aborts the transactions of producers that have been silent for
// longer than they said (TransactionStateManager.timedOutTransactions).
func (c *Coordinator) endOverdue(now time.Time) {
	for id, t := range c.transactions {
		if t.Transaction == nil || t.deciding {
			continue
		}
		if due := t.Overdue(); due.IsZero() || now.Before(due) {
			continue
		}
		c.cfg.Log.Info("transaction aborted: its producer was silent for longer than its timeout", "transactional_id", id, "producer", t.ProducerID, "timeout", t.Timeout.String())
		c.decide(id, func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
			if t == nil || t.Overdue().IsZero() || now.Before(t.Overdue()) {
				return nil, nil
			}
			return t.Abandon(now), nil
		}, func(decided) {})
	}
}

// expireTransactions removes transactional ids that nobody used for long
// (transactional.id.expiration.ms).
func (c *Coordinator) expireTransactions(now time.Time) {
	var keys []string
	for id, t := range c.transactions {
		if t.Transaction != nil && !t.deciding && t.Idle() && now.Sub(t.Updated) > c.cfg.TransactionRetention {
			keys = append(keys, transactionKey(id))
			t.deciding = true
		}
	}
	if len(keys) == 0 {
		return
	}
	c.remove(keys, func(err error) {
		for _, key := range keys {
			id := key[1:]
			if t := c.transactions[id]; t != nil {
				t.deciding = false
				if err == nil {
					t.Transaction = nil
					c.forgetUnused(id, t)
				}
			}
		}
	})
}

// loadTransaction takes over what is stored of a transactional id.
func (c *Coordinator) loadTransaction(id string, value []byte) {
	t, err := transaction.Decode(value)
	if err != nil {
		c.cfg.Log.Error("stored transaction was ignored", "transactional_id", id, "err", err)
		return
	}
	c.transactional(id).Transaction = t
}

// forgetTransactions makes room for what the log says now. Decisions on their
// way meet a conflict, and are taken again.
func (c *Coordinator) forgetTransactions() {
	clear(c.pending)
	for id, t := range c.transactions {
		t.Transaction = nil
		if !t.deciding && !t.marking {
			delete(c.transactions, id)
		}
	}
}

// resumeMarkers goes on with the transactions that were decided before this
// coordinator came, or by another one.
func (c *Coordinator) resumeMarkers() {
	for id, t := range c.transactions {
		c.mark(id, t)
	}
}

// Transactions lists the transactional ids of this log as they are now. It rests
// on nothing.
func (c *Coordinator) Transactions(ctx context.Context) (map[string]*transaction.Transaction, *kerr.Error) {
	type answered struct {
		all map[string]*transaction.Transaction
		e   *kerr.Error
	}
	a := ask(ctx, c, answered{e: kerr.NotCoordinator}, func(answer func(answered)) {
		all := make(map[string]*transaction.Transaction, len(c.transactions))
		for id, t := range c.transactions {
			if t.Transaction != nil {
				all[id] = t.Transaction
			}
		}
		answer(answered{all: all})
	})
	return a.all, a.e
}
