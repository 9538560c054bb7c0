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

// AddPartitionsToTxn, versions 0 to 5.
//
// If one partition does not exist none is added: the others have
// OPERATION_NOT_ATTEMPTED.
//
//	v2 PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH
//	v4 of many transactions at once, for the cluster's own services (KIP-890):
//	   partitions have a transaction checked, or add themselves to it. The
//	   answer carries the transaction's number.
func (a *API) addPartitionsToTxn(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.AddPartitionsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version >= 4 {
		return a.addForServices(ctx, r, req, resp)
	}
	topics := make([]kmsg.AddPartitionsToTxnRequestTransactionTopic, len(req.Topics))
	for i, t := range req.Topics {
		topics[i].Topic, topics[i].Partitions = t.Topic, t.Partitions
	}
	partitions, missing := a.txnPartitions(ctx, topics)
	var e *kerr.Error
	if len(missing) == 0 {
		var err error
		_, e, err = a.decide(ctx, r, req.TransactionalID, func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
			return t.Add(now, req.ProducerID, req.ProducerEpoch, partitions)
		})
		if err != nil {
			return nil, err
		}
	}
	for _, t := range txnTopics(topics, missing, fenced(e, req.Version < 2)) {
		rt := kmsg.NewAddPartitionsToTxnResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p.Partition, ErrorCode: p.ErrorCode})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// txnPartitions finds the partitions of a request, and those that do not exist.
func (a *API) txnPartitions(ctx context.Context, topics []kmsg.AddPartitionsToTxnRequestTransactionTopic) (found []transaction.Partition, missing map[transaction.Partition]bool) {
	for _, t := range topics {
		for _, partition := range t.Partitions {
			p, ok := a.partitionOf(t.Topic, partition)
			if !ok {
				a.catchUp(ctx)
				p, ok = a.partitionOf(t.Topic, partition)
			}
			if ok {
				found = append(found, p)
				continue
			}
			if missing == nil {
				missing = map[transaction.Partition]bool{}
			}
			missing[p] = true
		}
	}
	return found, missing
}

// txnTopics gives every partition its error.
func txnTopics(topics []kmsg.AddPartitionsToTxnRequestTransactionTopic, missing map[transaction.Partition]bool, e *kerr.Error) (out []kmsg.AddPartitionsToTxnResponseTransactionTopic) {
	for _, t := range topics {
		rt := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		rt.Topic = t.Topic
		for _, partition := range t.Partitions {
			rp := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			rp.Partition, rp.ErrorCode = partition, code(e)
			switch {
			case missing[transaction.Partition{Topic: t.Topic, Partition: partition}]:
				rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case len(missing) > 0:
				rp.ErrorCode = kerr.OperationNotAttempted.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out = append(out, rt)
	}
	return out
}

// addForServices answers the versions that partitions ask with.
func (a *API) addForServices(ctx context.Context, r *handler.Request, req *kmsg.AddPartitionsToTxnRequest, resp *kmsg.AddPartitionsToTxnResponse) (kmsg.Response, error) {
	if !r.Privileged {
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil
	}
	ids := make([]string, len(req.Transactions))
	for i := range req.Transactions {
		ids[i] = req.Transactions[i].TransactionalID
	}
	resp.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(ids))
	err := a.each(r, ids, func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error {
		q := &req.Transactions[i]
		rt := kmsg.NewAddPartitionsToTxnResponseTransaction()
		rt.TransactionalID = q.TransactionalID
		partitions, missing := a.txnPartitions(ctx, q.Topics)
		var t *transaction.Transaction
		if e == nil && len(missing) == 0 {
			t, e = c.Decide(ctx, q.TransactionalID, addOrVerify(q, partitions))
		}
		if t != nil && e == nil {
			handler.SetTransactionNumber(&rt, t.Number)
		}
		rt.Topics = txnTopics(q.Topics, missing, e)
		resp.Transactions[i] = rt
		return e
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func addOrVerify(q *kmsg.AddPartitionsToTxnRequestTransaction, partitions []transaction.Partition) step {
	return func(now time.Time, t *transaction.Transaction) (*transaction.Transaction, *kerr.Error) {
		if !q.VerifyOnly {
			return t.Add(now, q.ProducerID, q.ProducerEpoch, partitions)
		}
		return nil, t.Verify(q.ProducerID, q.ProducerEpoch, partitions...)
	}
}
