package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/transaction"
)

// AddOffsetsToTxn, versions 0 to 4: a group's offsets become part of a
// transaction.
//
//	v2 PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH
func (a *API) addOffsetsToTxn(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.AddOffsetsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	p := a.offsetsPartition(req.Group)
	_, e, err := a.decide(ctx, r, req.TransactionalID, func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		return t.Add(now, req.ProducerID, req.ProducerEpoch, []transaction.Partition{p})
	})
	if err != nil {
		return nil, err
	}
	resp.ErrorCode = code(fenced(e, req.Version < 2))
	return resp, nil
}
