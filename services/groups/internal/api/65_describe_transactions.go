package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/transaction"
)

// DescribeTransactions, version 0.
func (a *API) describeTransactions(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DescribeTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	resp.TransactionStates = make([]kmsg.DescribeTransactionsResponseTransactionState, len(req.TransactionalIDs))
	err := a.each(r, req.TransactionalIDs, func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error {
		id := req.TransactionalIDs[i]
		var t *transaction.Transaction
		if e == nil {
			t, e = c.Decide(ctx, id, look)
		}
		resp.TransactionStates[i] = describedTransaction(id, t, e)
		return e
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// look changes nothing.
func look(_ time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
	if t == nil {
		return nil, kerr.TransactionalIDNotFound
	}
	return nil, nil
}

func describedTransaction(id string, t *transaction.Transaction, e *kerr.Error) kmsg.DescribeTransactionsResponseTransactionState {
	s := kmsg.NewDescribeTransactionsResponseTransactionState()
	s.TransactionalID, s.ErrorCode = id, code(e)
	if e != nil || t == nil {
		s.ProducerID, s.ProducerEpoch, s.StartTimestamp = -1, -1, -1
		return s
	}
	s.State, s.TimeoutMillis, s.ProducerID, s.ProducerEpoch = t.State.String(), int32(t.Timeout.Milliseconds()), t.ProducerID, t.Epoch
	s.StartTimestamp = -1
	if !t.Started.IsZero() {
		s.StartTimestamp = t.Started.UnixMilli()
	}
	for _, p := range t.Sorted() {
		if n := len(s.Topics); n == 0 || s.Topics[n-1].Topic != p.Topic {
			s.Topics = append(s.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: p.Topic})
		}
		last := &s.Topics[len(s.Topics)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	return s
}
