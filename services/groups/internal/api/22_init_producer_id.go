package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/transaction"
)

// InitProducerId, versions 0 to 5.
//
// Without a transactional id every call gives a producer id that nobody had,
// with epoch 0; as in Kafka, an id that an idempotent producer brings along is
// not continued. With one, the coordinator gives the next epoch, and a
// transaction that is under way is aborted first: CONCURRENT_TRANSACTIONS until
// its markers stand.
//
//	v3 the producer's present id and epoch (KIP-360)
//	v4 PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH
func (a *API) initProducerID(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if e := a.checkInitProducerID(req); e != nil {
		resp.ErrorCode = e.Code
		return resp, nil
	}
	id, err := a.reg.ProducerID(ctx)
	if err != nil {
		a.log.Warn("no producer id could be given", "conn", r.ConnectionID, "err", err)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code // as Kafka says when it waits for a block
		return resp, nil
	}
	if req.TransactionalID == nil {
		resp.ProducerID, resp.ProducerEpoch = id, 0
		return resp, nil
	}
	q := transaction.Init{Timeout: time.Duration(req.TransactionTimeoutMillis) * time.Millisecond, ProducerID: -1, Epoch: -1, NewID: id}
	if req.Version >= 3 {
		q.ProducerID, q.Epoch = req.ProducerID, req.ProducerEpoch
	}
	t, e, err := a.decide(ctx, r, *req.TransactionalID, func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		return t.Init(now, q)
	})
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = code(fenced(e, req.Version < 4)); e == nil {
		resp.ProducerID, resp.ProducerEpoch = t.Producer()
	}
	return resp, nil
}

func (a *API) checkInitProducerID(req *kmsg.InitProducerIDRequest) *kerr.Error {
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		return kerr.InvalidRequest
	case req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		return kerr.InvalidRequest
	case req.TransactionalID == nil:
		return nil
	case req.TransactionTimeoutMillis <= 0 || time.Duration(req.TransactionTimeoutMillis)*time.Millisecond > a.settings.MaxTransaction:
		return kerr.InvalidTransactionTimeout
	}
	return nil
}
