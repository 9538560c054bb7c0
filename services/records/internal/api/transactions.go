package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/topiclog"
)

// Before the first batch of a transaction is appended to a partition, the transaction's coordinator is asked whether the partition
// belongs to it (KIP-890). The answer has the coordinator's number of the transaction. The batch carries it into the log, which refuses
// it if that transaction has ended there meanwhile. Kafka's counterpart is AddPartitionsToTxnManager.

const (
	readCommitted   = 1 // isolation level
	checkTimeout    = 10 * time.Second
	busyTries       = 50 // with a busy coordinator
	busyPause       = 20 * time.Millisecond
	addsItself      = 12 // Produce from this version on adds its partitions to the transaction
	knowsAbortable  = 11 // and from this one on knows TRANSACTION_ABORTABLE
	coordinators    = "groups"
	addToTxnVersion = 5
)

// Asker asks other instances (handler.Asker).
type Asker interface {
	Ask(ctx context.Context, service string, broker int32, q kmsg.Request) (kmsg.Response, error)
}

var _ Asker = (*handler.Asker)(nil)

// Asks says how transactions' coordinators are asked: by whom, and which broker a transactional id's coordinator is. It is called
// before the apis serve.
func (a *API) Asks(ask Asker, coordinator func(id string) int32) {
	a.verifier.ask, a.verifier.coordinator = ask, coordinator
}

// transactionalCode refuses transactional batches that are wrong as a whole: without a transactional id, or of several producers.
func transactionalCode(q *kmsg.ProduceRequest, tasks []produceTask) int16 {
	var first batch.Batch
	for i := range tasks {
		b, _ := batch.First(tasks[i].records)
		switch {
		case b == nil || !b.Transactional() || b.ProducerID() < 0:
		case q.TransactionID == nil:
			return kerr.TransactionalIDAuthorizationFailed.Code
		case first == nil:
			first = b
		case b.ProducerID() != first.ProducerID() || b.ProducerEpoch() != first.ProducerEpoch():
			return kerr.InvalidProducerIDMapping.Code
		}
	}
	return 0
}

// send hands batches to their logs, those that begin a transaction there once they are known to belong to it. It returns what the logs
// have taken. Of what one producer sends to a partition meanwhile, the batches of who asks go first.
func (a *API) send(ctx context.Context, q *kmsg.ProduceRequest, ready []*produceTask) map[*topiclog.Append]*produceTask {
	sent := make(map[*topiclog.Append]*produceTask, len(ready))
	var unknown []*produceTask
	for _, t := range ready {
		if t.checked() {
			t.send(sent)
		} else {
			unknown = append(unknown, t)
		}
	}
	if len(unknown) > 0 {
		a.verifier.verify(ctx, q, unknown, func(t *produceTask) { t.send(sent) })
	}
	return sent
}

func (t *produceTask) send(sent map[*topiclog.Append]*produceTask) {
	if t.again = false; t.code == 0 {
		t.waiting = true
		sent[&t.append] = t
		t.log.Append(&t.append)
	}
}

// checked tells whether a batch needs no check: it is not of a transaction, or that is open in its partition.
func (t *produceTask) checked() bool {
	b := t.append.Batch
	if !b.Transactional() {
		return true
	}
	if !t.again {
		t.append.Number, t.known = t.log.OpenTransaction(t.partition, b.ProducerID(), b.ProducerEpoch())
	}
	return t.known
}

// verifier asks coordinators, once for all who wait for the same answer.
type verifier struct {
	// immutable once the apis serve
	ask         Asker
	coordinator func(id string) int32

	mu     sync.Mutex
	checks map[checkKey]*check
}

type checkKey struct {
	id        string
	producer  int64
	epoch     int16
	topic     [16]byte
	partition int32
}

// check is a question on its way. number and code are set before done is closed.
type check struct {
	done   chan struct{}
	number uint32
	code   int16
}

func keyOf(q *kmsg.ProduceRequest, t *produceTask) checkKey {
	b := t.append.Batch
	return checkKey{*q.TransactionID, b.ProducerID(), b.ProducerEpoch(), t.topic.ID, t.partition}
}

// verify finds the numbers of the tasks' transactions, or the errors to answer, and calls then for each task.
func (v *verifier) verify(ctx context.Context, q *kmsg.ProduceRequest, tasks []*produceTask, then func(*produceTask)) {
	ctx, cancel := context.WithTimeout(ctx, min(patience(q.TimeoutMillis), checkTimeout))
	defer cancel()
	own, others := v.join(q, tasks)
	if len(own) > 0 {
		v.askFor(ctx, q, own)
		for _, t := range own {
			then(t)
		}
		v.leave(q, own)
	}
	for t, c := range others {
		v.wait(ctx, q, t, c)
		then(t)
	}
}

// join sorts tasks into those to ask for and those that somebody else asks for.
func (v *verifier) join(q *kmsg.ProduceRequest, tasks []*produceTask) (own []*produceTask, others map[*produceTask]*check) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.checks == nil {
		v.checks = map[checkKey]*check{}
	}
	others = map[*produceTask]*check{}
	for _, t := range tasks {
		key := keyOf(q, t)
		if c := v.checks[key]; c != nil {
			others[t] = c
			continue
		}
		v.checks[key] = &check{done: make(chan struct{})}
		own = append(own, t)
	}
	return own, others
}

// leave tells those who wait what has come of the tasks' checks.
func (v *verifier) leave(q *kmsg.ProduceRequest, own []*produceTask) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range own {
		key := keyOf(q, t)
		c := v.checks[key]
		c.number, c.code = t.append.Number, t.code
		delete(v.checks, key)
		close(c.done)
	}
}

// wait takes over another's answer. An error may be of a time before this batch belonged to the transaction: that is asked again.
func (v *verifier) wait(ctx context.Context, q *kmsg.ProduceRequest, t *produceTask, c *check) {
	select {
	case <-c.done:
		if t.append.Number = c.number; c.code != 0 {
			v.askFor(ctx, q, []*produceTask{t})
		}
	case <-ctx.Done():
		t.code = kerr.NotEnoughReplicas.Code
	}
}

// askFor asks the coordinator for all tasks at once, which are of one transaction. While that is busy with the same transaction, for
// other partitions or with the markers of the one before, it is asked again (add.partitions.to.txn.retry.backoff.ms): clients would
// come back after seconds.
func (v *verifier) askFor(ctx context.Context, q *kmsg.ProduceRequest, tasks []*produceTask) {
	for tries := 0; ; tries++ {
		v.askOnce(ctx, q, tasks)
		if tasks = slices.DeleteFunc(slices.Clone(tasks), func(t *produceTask) bool { return !t.busy }); len(tasks) == 0 || tries == busyTries {
			return
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return
		}
	}
}

func (v *verifier) askOnce(ctx context.Context, q *kmsg.ProduceRequest, tasks []*produceTask) {
	for _, t := range tasks {
		t.code, t.busy = kerr.NotEnoughReplicas.Code, false // until something else is known
	}
	answer, err := v.ask.Ask(ctx, coordinators, v.coordinator(*q.TransactionID), question(q, tasks))
	if err != nil {
		return
	}
	resp := answer.(*kmsg.AddPartitionsToTxnResponse)
	for i := range resp.Transactions {
		number, ok := handler.TransactionNumber(&resp.Transactions[i])
		codes := partitionCodes(&resp.Transactions[i])
		for _, t := range tasks {
			code, answered := codes[topicPartition{t.topic.Name, t.partition}]
			if !answered || code == 0 && !ok {
				continue
			}
			t.append.Number, t.code, t.busy = number, producerCode(code, q.Version), code == kerr.ConcurrentTransactions.Code
		}
	}
}

type topicPartition struct {
	topic     string
	partition int32
}

func question(q *kmsg.ProduceRequest, tasks []*produceTask) *kmsg.AddPartitionsToTxnRequest {
	x := kmsg.NewAddPartitionsToTxnRequestTransaction()
	b := tasks[0].append.Batch
	x.TransactionalID, x.ProducerID, x.ProducerEpoch, x.VerifyOnly = *q.TransactionID, b.ProducerID(), b.ProducerEpoch(), q.Version < addsItself
	for _, t := range tasks {
		if n := len(x.Topics); n == 0 || x.Topics[n-1].Topic != t.topic.Name {
			x.Topics = append(x.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: t.topic.Name})
		}
		last := &x.Topics[len(x.Topics)-1]
		last.Partitions = append(last.Partitions, t.partition)
	}
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version = addToTxnVersion
	r.Transactions = append(r.Transactions, x)
	return r
}

func partitionCodes(x *kmsg.AddPartitionsToTxnResponseTransaction) map[topicPartition]int16 {
	codes := map[topicPartition]int16{}
	for _, t := range x.Topics {
		for _, p := range t.Partitions {
			codes[topicPartition{t.Topic, p.Partition}] = p.ErrorCode
		}
	}
	return codes
}

// producerCode is what a producer is told of a coordinator's error (AddPartitionsToTxnManager, ReplicaManager.handleProduceAppend).
// NOT_ENOUGH_REPLICAS has every client try again, and nothing else.
func producerCode(code, version int16) int16 {
	switch kerr.ErrorForCode(code) {
	case nil, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping, kerr.InvalidProducerEpoch, kerr.UnknownTopicOrPartition:
		return code
	case kerr.ProducerFenced:
		return kerr.InvalidProducerEpoch.Code
	case kerr.TransactionAbortable:
		if version >= knowsAbortable {
			return code
		}
		return kerr.InvalidTxnState.Code
	case kerr.ConcurrentTransactions:
		if version >= addsItself {
			return code
		}
	case kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.InvalidRequest:
		return kerr.InvalidTxnState.Code
	}
	return kerr.NotEnoughReplicas.Code
}
