package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// TxnOffsetCommit, versions 0 to 5: offsets that count when their transaction is
// committed. The group's coordinator has the transaction's checked first, so
// that a request which comes late leaves nothing behind that nobody ends.
//
//	v3 member, generation and instance id (KIP-447)
//	v5 the group becomes part of the transaction by this alone (KIP-890)
func (a *API) txnOffsetCommit(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.TxnOffsetCommitRequest)
	commit, refused := a.readCommit(ctx, txnCommit(req))
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error {
		g := c.Guard(ctx, req.ProducerID)
		if g == nil {
			return kerr.NotCoordinator
		}
		defer c.EndGuard(g)
		if e := a.checkTransaction(ctx, req); e != nil {
			return e
		}
		if e := c.CommitPending(ctx, req.Group, commit, g); e != kerr.StaleMemberEpoch {
			return e
		}
		return kerr.IllegalGeneration // TxnOffsetCommit knows no other word
	})
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for _, t := range commitTopics(txnCommit(req), e, refused) {
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: p.ErrorCode})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// txnCommit is the request in the form of an OffsetCommit, of the version that
// members of every kind of group commit with.
func txnCommit(req *kmsg.TxnOffsetCommitRequest) *kmsg.OffsetCommitRequest {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.MemberID, q.InstanceID, q.Generation = 9, req.Group, req.MemberID, req.InstanceID, req.Generation
	for _, t := range req.Topics {
		ct := kmsg.NewOffsetCommitRequestTopic()
		ct.Topic = t.Topic
		for _, p := range t.Partitions {
			cp := kmsg.NewOffsetCommitRequestTopicPartition()
			cp.Partition, cp.Offset, cp.LeaderEpoch, cp.Metadata = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata
			ct.Partitions = append(ct.Partitions, cp)
		}
		q.Topics = append(q.Topics, ct)
	}
	return q
}

// checkTransaction asks the transaction's coordinator, which may be another
// instance.
func (a *API) checkTransaction(ctx context.Context, req *kmsg.TxnOffsetCommitRequest) *kerr.Error {
	p := a.offsetsPartition(req.Group)
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.Version = 5
	t := kmsg.NewAddPartitionsToTxnRequestTransaction()
	t.TransactionalID, t.ProducerID, t.ProducerEpoch, t.VerifyOnly = req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Version < 5
	t.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: p.Topic, Partitions: []int32{p.Partition}}}
	q.Transactions = append(q.Transactions, t)
	answer, err := a.ask.Ask(ctx, Service, a.leaderOf(req.TransactionalID), q)
	if err != nil {
		a.log.Warn("transaction could not be checked", "transactional_id", req.TransactionalID, "err", err)
		return kerr.CoordinatorNotAvailable
	}
	return checked(answer.(*kmsg.AddPartitionsToTxnResponse))
}

// checked is the error of the one partition that was asked about.
func checked(r *kmsg.AddPartitionsToTxnResponse) *kerr.Error {
	if len(r.Transactions) != 1 || len(r.Transactions[0].Topics) != 1 || len(r.Transactions[0].Topics[0].Partitions) != 1 {
		return kerr.CoordinatorNotAvailable
	}
	switch e := kerr.TypedErrorForCode(r.Transactions[0].Topics[0].Partitions[0].ErrorCode); e {
	case kerr.ProducerFenced: // TxnOffsetCommit knows no other word
		return kerr.InvalidProducerEpoch
	case kerr.NotCoordinator, kerr.CoordinatorLoadInProgress:
		return kerr.CoordinatorNotAvailable // of the transaction, and not of the group
	default:
		return e
	}
}
