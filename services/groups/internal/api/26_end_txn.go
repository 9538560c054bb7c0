package api

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/transaction"
)

// EndTxn, versions 0 to 5: commits or aborts. The answer says that the decision
// is in the log; the markers follow, and until they stand the next transaction
// of the id waits.
//
//	v2 PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH
//	v5 the epoch rises with every transaction (KIP-890); the answer has the
//	   producer id and epoch to go on with
func (a *API) endTxn(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.EndTxnRequest)
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	q := transaction.End{ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Commit: req.Commit, Bump: req.Version >= 5, NewID: -1}
	if q.Bump && q.Epoch >= math.MaxInt16-1 {
		var err error
		if q.NewID, err = a.reg.ProducerID(ctx); err != nil {
			a.log.Warn("no producer id could be given", "conn", r.ConnectionID, "err", err)
			resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
			return resp, nil
		}
	}
	t, e, err := a.decide(ctx, r, req.TransactionalID, func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		return t.End(now, q)
	})
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = code(fenced(e, req.Version < 2)); e == nil {
		resp.ProducerID, resp.ProducerEpoch = t.Producer()
	}
	return resp, nil
}
