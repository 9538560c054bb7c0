package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// InitProducerId, versions 0 to 5, of idempotent producers.
//
// Every call gives an id that nobody had, with epoch 0; as in Kafka, an id that
// an idempotent producer brings along is not continued. Transactions are not
// offered yet: a transactional id is refused with
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which all clients take for final,
// where any retriable error would have them try for ever.
//
//	v3 the producer's present id and epoch (KIP-360)
func (a *API) initProducerID(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if e := checkInitProducerID(req); e != nil {
		resp.ErrorCode = e.Code
		return resp, nil
	}
	id, err := a.reg.ProducerID(ctx)
	if err != nil {
		a.log.Warn("no producer id could be given", "conn", r.ConnectionID, "err", err)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code // as Kafka says when it waits for a block
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}

func checkInitProducerID(req *kmsg.InitProducerIDRequest) *kerr.Error {
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		return kerr.InvalidRequest
	case req.TransactionalID != nil:
		return kerr.TransactionalIDAuthorizationFailed
	case req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		return kerr.InvalidRequest
	}
	return nil
}
