package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/libs/log"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/producer"
	"kanal/services/records/internal/topiclog"
)

// Produce (key 0), versions 0 to 13.
//
// Batches are validated here, in the handlers' goroutines; their order, offsets and sequence numbers are the log's business. An
// answer leaves when the log has committed: acks 1 and -1 are the same, since a commit has the quorum of the stream either way.
//
//	0-2  UNSUPPORTED_VERSION for every partition, as in Kafka 4 (librdkafka wants them advertised)
//	3    transactional id; magic 2 only
//	7    zstd
//	8    record errors (KIP-467)
//	10   current leaders and their endpoints (KIP-951)
//	12   batches add their partitions to the transaction themselves (KIP-890)
//	13   topic ids
//
// The first batch of a transaction in a partition is appended once the coordinator says that it belongs there (transactions.go).

// produceTask is one partition of a request.
type produceTask struct {
	place
	records []byte
	out     *kmsg.ProduceResponseTopicPartition
	log     *topiclog.Log
	append  topiclog.Append
	waiting bool
	known   bool // the number of its transaction is that of the one open in the log
	busy    bool // the coordinator was, when it was asked last
	again   bool // which has ended: to be checked with the coordinator
}

func (a *API) produce(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.ProduceRequest)
	resp := q.ResponseKind().(*kmsg.ProduceResponse)
	tasks := a.produceTasks(q, resp)
	if refused := a.refuseAll(q, tasks); !refused {
		places := make([]*place, len(tasks))
		for i := range tasks {
			places[i] = &tasks[i].place
		}
		if err := a.route(r, places); err != nil {
			return nil, err
		}
		if r.Redelivered {
			if q.Acks == 0 { // at most once is what was asked for
				return nil, handler.ErrNoResponse
			}
			refuseRepeats(tasks)
		}
		began := a.now()
		a.appendAll(ctx, r, q, tasks)
		r.Waited(a.now().Sub(began))
	}
	a.hintLeaders(r, q.Version, resp, tasks)
	return finishProduce(q, resp, tasks)
}

// hintLeaders tells of current leaders (KIP-951).
func (a *API) hintLeaders(r *handler.Request, version int16, resp *kmsg.ProduceResponse, tasks []produceTask) {
	if version < 10 {
		return
	}
	places := make([]*place, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		places[i] = &t.place
		if l, ok := a.leaderHint(&t.place); ok {
			t.out.CurrentLeader.LeaderID, t.out.CurrentLeader.LeaderEpoch = l.id, l.epoch
		}
	}
	for _, b := range a.endpoints(r, places) {
		resp.Brokers = append(resp.Brokers, kmsg.ProduceResponseBroker{NodeID: b.ID, Host: b.Host, Port: b.Port})
	}
}

// produceTasks lays out the response and lists the request's partitions. Responses are complete before pointers into them are taken.
func (a *API) produceTasks(q *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) []produceTask {
	var tasks []produceTask
	for i := range q.Topics {
		t := &q.Topics[i]
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			p := &out.Partitions[j]
			p.Default()
			p.Partition, p.BaseOffset = t.Partitions[j].Partition, -1
			where := a.byName(t.Topic, p.Partition)
			if q.Version >= 13 {
				where = a.byID(t.TopicID, p.Partition)
			}
			tasks = append(tasks, produceTask{place: *where, records: t.Partitions[j].Records, out: p})
		}
		resp.Topics = append(resp.Topics, out)
	}
	return tasks
}

// refuseAll answers requests that are wrong as a whole.
func (a *API) refuseAll(q *kmsg.ProduceRequest, tasks []produceTask) bool {
	var code int16
	switch {
	case q.Version < 3:
		code = kerr.UnsupportedVersion.Code
	case q.Acks < -1 || q.Acks > 1:
		code = kerr.InvalidRequiredAcks.Code
	default:
		if code = transactionalCode(q, tasks); code == 0 {
			return false
		}
	}
	for i := range tasks {
		tasks[i].code = code
	}
	return true
}

// refuseRepeats answers what another instance may have executed already and what has no sequence number to tell: the client decides
// whether to risk it. With acks=0 nobody is to be told, and at most once is what was asked for.
func refuseRepeats(tasks []produceTask) {
	for i := range tasks {
		t := &tasks[i]
		if b, _ := batch.First(t.records); t.code == 0 && (b == nil || b.ProducerID() < 0) {
			t.code = kerr.NotLeaderForPartition.Code
		}
	}
}

// appendAll validates and appends every partition's batch, and waits for the outcomes.
func (a *API) appendAll(ctx context.Context, r *handler.Request, q *kmsg.ProduceRequest, tasks []produceTask) {
	done := make(chan *topiclog.Append, len(tasks))
	limit := time.NewTimer(patience(q.TimeoutMillis))
	defer limit.Stop()
	overtaken := r.Overtaken
	var ready []*produceTask
	for i := range tasks {
		t := &tasks[i]
		if !a.prepare(q, t) {
			continue
		}
		if t.log = a.logOf(ctx, &t.place); t.log == nil {
			continue
		}
		t.append.Partition, t.append.Done, t.append.Overtaken = t.partition, done, overtaken
		ready = append(ready, t)
	}
	for len(ready) > 0 {
		sent := a.send(ctx, q, ready)
		for len(sent) > 0 {
			select {
			case outcome := <-done:
				sent[outcome].settle(outcome)
				delete(sent, outcome)
			case <-limit.C:
				giveUp(tasks)
				return
			}
		}
		ready = slices.DeleteFunc(ready, func(t *produceTask) bool { return !t.again })
	}
}

// patience is the client's own, in reason.
func patience(millis int32) time.Duration {
	return min(max(time.Duration(millis)*time.Millisecond, time.Second), 5*time.Minute)
}

// prepare validates one partition's records; false with the answer filled in.
func (a *API) prepare(q *kmsg.ProduceRequest, t *produceTask) bool {
	if t.code != 0 {
		return false
	}
	now := a.now().UnixMilli()
	rules := batch.Rules{
		MaxBytes:      min(int(t.topic.ConfigInt("max.message.bytes")), a.maxBatch()),
		Version:       q.Version,
		LogAppendTime: t.topic.Config("message.timestamp.type") == "LogAppendTime",
		BeforeMax:     t.topic.ConfigInt("message.timestamp.before.max.ms"),
		AfterMax:      t.topic.ConfigInt("message.timestamp.after.max.ms"),
	}
	b, refusal := batch.Validate(t.records, rules, now)
	if refusal != nil {
		t.refuse(refusal)
		return false
	}
	if rules.LogAppendTime {
		b = slices.Clone(b) // the frame is not ours to change
		b.SetLogAppendTime(now)
		t.out.LogAppendTime = now
	}
	t.append.Batch = b
	return true
}

// refuse answers with all that is known of what is wrong.
func (t *produceTask) refuse(r *batch.Refusal) {
	t.code, t.out.ErrorMessage = r.Kafka.Code, &r.Message
	for _, e := range r.Records {
		o := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		o.RelativeOffset, o.ErrorMessage = e.Index, &e.Message
		t.out.ErrorRecords = append(t.out.ErrorRecords, o)
	}
}

// settle takes over an outcome.
func (t *produceTask) settle(o *topiclog.Append) {
	t.waiting = false
	switch err := o.Err; {
	case err == nil:
		t.out.BaseOffset, t.out.LogStartOffset = o.Base, o.Start
	case errors.Is(err, producer.ErrOutOfOrder):
		t.code = kerr.OutOfOrderSequenceNumber.Code
	case errors.Is(err, topiclog.ErrTransaction) && t.known:
		t.again, t.known = true, false
	case errors.Is(err, topiclog.ErrTransaction):
		t.code = kerr.InvalidTxnState.Code
	case errors.Is(err, producer.ErrInvalidEpoch):
		t.code = kerr.InvalidProducerEpoch.Code
	case errors.Is(err, topiclog.ErrUnknown), errors.Is(err, topiclog.ErrCanceled):
		t.code = kerr.RequestTimedOut.Code
	case errors.Is(err, log.ErrTooLarge):
		t.code = kerr.MessageTooLarge.Code
	default: // the log was closed under it: whoever opens it next knows
		t.code = kerr.NotLeaderForPartition.Code
	}
}

// giveUp answers what is not known yet. Idempotent producers learn the outcome when they send the batch again.
func giveUp(tasks []produceTask) {
	for i := range tasks {
		if t := &tasks[i]; t.waiting {
			t.code = kerr.RequestTimedOut.Code
			t.log.Cancel(&t.append)
		}
	}
}

// finishProduce makes the outcome of the request. With acks=0 an error closes the connection: it is all the client gets (M8).
func finishProduce(q *kmsg.ProduceRequest, resp *kmsg.ProduceResponse, tasks []produceTask) (kmsg.Response, error) {
	failed := false
	for i := range tasks {
		t := &tasks[i]
		if t.out.ErrorCode = t.code; t.code != 0 {
			failed = true
			t.out.LogAppendTime = -1
		}
	}
	switch {
	case q.Acks != 0:
		return resp, nil
	case failed:
		return resp, handler.ErrCloseConnection
	}
	return nil, handler.ErrNoResponse
}
