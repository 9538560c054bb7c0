package api

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/records/internal/session"
	"kanal/services/records/internal/topiclog"
)

// Fetch (key 1), versions 4 to 18.
//
// Whole batches from the one that contains the offset; the first of a response always, whatever its size (KIP-74). A fetch without
// enough bytes is parked and woken by the commit that brings them. The high watermark is the end of what is committed; read_committed
// ends at the last stable offset and is told of the aborted transactions in what it gets.
//
//	5     log start offset
//	7     sessions (KIP-227), in this instance's memory
//	9     leader epochs (KIP-320); 12 last fetched epoch: logs are never truncated, nothing diverges; current leaders
//	11    rack: no preferred replica
//	13    topic ids
//	16    endpoints of current leaders (KIP-951)
//	17    directories, 18 high watermark: for followers

// fetchTask is one partition of a request.
type fetchTask struct {
	place
	offset int64
	max    int
	out    *kmsg.FetchResponseTopicPartition
	log    *topiclog.Log
	seen   int64 // the partition's end when it was last read, or its last stable offset if that is what is read up to
}

// fetch is a request on its way.
type fetch struct {
	api     *API
	r       *handler.Request
	q       *kmsg.FetchRequest
	session *session.Fetch
	outs    []kmsg.FetchResponseTopicPartition // of the tasks
	tasks   []fetchTask
	places  []*place // of the tasks
}

func (a *API) fetch(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.FetchRequest)
	resp := q.ResponseKind().(*kmsg.FetchResponse)
	s, code := a.sessions.Begin(q)
	if code != 0 {
		resp.ErrorCode = code
		return resp, nil
	}
	f := &fetch{api: a, r: r, q: q, session: s}
	f.layOut()
	if err := a.route(r, f.places); err != nil {
		a.sessions.End(s.ID) // whoever holds the broker now does not know it
		return nil, err
	}
	for i := range f.tasks {
		f.tasks[i].log = a.logOf(ctx, &f.tasks[i].place)
	}
	if err := f.serve(ctx); err != nil {
		s.GiveBack()
		return nil, err
	}
	f.finish(resp)
	return resp, nil
}

// layOut lists the partitions.
func (f *fetch) layOut() {
	f.outs = make([]kmsg.FetchResponseTopicPartition, len(f.session.Partitions))
	f.tasks, f.places = make([]fetchTask, len(f.outs)), make([]*place, len(f.outs))
	for i := range f.tasks {
		p, o := &f.session.Partitions[i], &f.outs[i]
		o.Default()
		o.Partition = p.Partition
		where := f.api.byName(p.Topic, p.Partition)
		if f.q.Version >= 13 {
			where = f.api.byID(p.TopicID, p.Partition)
		}
		f.api.checkEpoch(where, p.LeaderEpoch)
		f.tasks[i] = fetchTask{place: *where, offset: p.Offset, max: int(p.MaxBytes), out: o}
		f.places[i] = &f.tasks[i].place
	}
}

// finish makes the answer of what the session lets the client hear, partitions of a topic together where they follow each other.
func (f *fetch) finish(resp *kmsg.FetchResponse) {
	leave := f.session.Answer(f.outs)
	resp.SessionID = f.session.ID
	hint := f.q.Version >= 12
	for i := range f.outs {
		if leave(i) {
			continue
		}
		k := &f.session.Partitions[i]
		n := len(resp.Topics) - 1
		if n < 0 || resp.Topics[n].Topic != k.Topic || resp.Topics[n].TopicID != k.TopicID {
			out := kmsg.NewFetchResponseTopic()
			out.Topic, out.TopicID = k.Topic, k.TopicID
			resp.Topics, n = append(resp.Topics, out), n+1
		}
		if l, ok := f.api.leaderHint(&f.tasks[i].place); ok && hint {
			f.outs[i].CurrentLeader.LeaderID, f.outs[i].CurrentLeader.LeaderEpoch = l.id, l.epoch
		}
		resp.Topics[n].Partitions = append(resp.Topics[n].Partitions, f.outs[i])
	}
	if f.q.Version >= 16 {
		for _, b := range f.api.endpoints(f.r, f.places) {
			resp.Brokers = append(resp.Brokers, kmsg.FetchResponseBroker{NodeID: b.ID, Host: b.Host, Port: b.Port})
		}
	}
}

// serve reads until there is enough, something is wrong, or the wait is over. A parked request that has more than it is
// granted then is given back, to come again with another grant: its age tells how long it has waited by then.
func (f *fetch) serve(ctx context.Context) error {
	least := int(f.q.MinBytes)
	end := f.api.now().Add(time.Duration(f.q.MaxWaitMillis)*time.Millisecond - f.r.Age)
	parked := false
	for {
		have, failed := f.readAll(ctx)
		if parked && (have > f.budget() || have > 0 && least > f.budget()) {
			return handler.ErrNotTaken
		}
		left := end.Sub(f.api.now())
		if failed || have >= least || left <= 0 || len(f.tasks) == 0 || f.movedAway() {
			return nil
		}
		if !parked {
			parked = true
			f.r.Park(left)
			f.api.parked.Inc()
			defer f.api.parked.Dec()
		}
		if !f.wait(ctx, least-have, left) {
			return nil
		}
	}
}

// wait sleeps until so many bytes have come, or the time is over; false if nobody waits for the answer any more.
func (f *fetch) wait(ctx context.Context, bytes int, left time.Duration) bool {
	w := topiclog.NewWaiter(bytes)
	w.Stable = f.committed()
	for i := range f.tasks {
		t := &f.tasks[i]
		t.log.Watch(t.partition, t.seen, w)
		defer t.log.Unwatch(t.partition, w)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	began := f.api.now()
	defer func() { f.r.Waited(f.api.now().Sub(began)) }()
	select {
	case <-w.C():
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// movedAway tells whether another instance holds one of the partitions by now: the answer leaves at once, and the client's next
// fetch finds its way.
func (f *fetch) movedAway() bool {
	if f.r.MustServe {
		return false
	}
	for i := range f.tasks {
		if t := &f.tasks[i]; t.topic != nil {
			if _, elsewhere := f.api.holder.Elsewhere(t.topic.Name, t.index()); elsewhere {
				return true
			}
		}
	}
	return false
}

const (
	mostResponse      = 60 << 20 // bytes of records in one answer: responses end at 64 MiB
	responseOverhead  = 256
	partitionOverhead = 96 // of an answer, without its records
)

// budget is how many bytes of records the answer may have.
func (f *fetch) budget() int {
	limit := min(int(f.q.MaxBytes), mostResponse)
	if f.r.Granted > 0 && f.r.Granted < math.MaxInt32 {
		limit = min(limit, int(f.r.Granted)-responseOverhead-partitionOverhead*len(f.tasks))
	}
	return max(limit, 0)
}

// readAll fills in every partition. It returns the bytes of records and whether a partition has an error.
func (f *fetch) readAll(ctx context.Context) (have int, failed bool) {
	left := f.budget()
	for i := range f.tasks {
		t := &f.tasks[i]
		n := f.read(ctx, t, min(left, t.max), have == 0)
		have += n
		left = max(0, left-n)
		failed = failed || t.code != 0
		t.out.ErrorCode = t.code
	}
	return have, failed
}

// read fills in one partition and returns the bytes of its records.
func (f *fetch) read(ctx context.Context, t *fetchTask, limit int, first bool) int {
	t.out.HighWatermark, t.out.LastStableOffset, t.out.LogStartOffset, t.out.RecordBatches = -1, -1, -1, []byte{}
	if t.code != 0 {
		return 0
	}
	c, err := f.readLog(ctx, t, limit, first)
	if errors.Is(err, topiclog.ErrOutOfRange) {
		c, err = f.confirm(ctx, t, limit, first)
	}
	if t.seen = c.Offsets.Next; f.committed() {
		t.seen = c.Stable
	}
	switch {
	case errors.Is(err, topiclog.ErrOutOfRange):
		t.code = kerr.OffsetOutOfRange.Code
		t.out.LogStartOffset = c.Offsets.Start
		return 0
	case err != nil && t.code == 0 && ctx.Err() != nil: // the client is gone, or the instance leaves
		t.code = kerr.NotLeaderForPartition.Code
		return 0
	case err != nil && t.code == 0:
		f.api.log.Warn("fetch could not read its log; the client is told to try again", "topic", t.topic.Name, "partition", t.partition, "offset", t.offset, "err", err)
		t.code = kerr.KafkaStorageError.Code
		return 0
	case err != nil:
		return 0
	}
	t.out.HighWatermark, t.out.LastStableOffset, t.out.LogStartOffset = c.Offsets.Next, c.Stable, c.Offsets.Start
	if t.out.AbortedTransactions = nil; f.committed() {
		t.out.AbortedTransactions = aborted(c)
	}
	t.out.RecordBatches = join(c)
	return c.Bytes
}

// committed tells whether only what is committed is to be read.
func (f *fetch) committed() bool { return f.q.IsolationLevel == readCommitted }

func (f *fetch) readLog(ctx context.Context, t *fetchTask, limit int, first bool) (topiclog.Chunk, error) {
	if f.committed() {
		return t.log.ReadCommitted(ctx, t.partition, t.offset, limit, first)
	}
	return t.log.Read(ctx, t.partition, t.offset, limit, first)
}

// aborted is what a consumer leaves out by itself: of these producers everything from their first offsets to their markers.
func aborted(c topiclog.Chunk) []kmsg.FetchResponseTopicPartitionAbortedTransaction {
	all := make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, len(c.Aborted))
	for i, t := range c.Aborted {
		all[i] = kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: t.ProducerID, FirstOffset: t.First}
	}
	return all
}

// confirm looks again once the tail is certain: an offset is out of range only if the log says so.
func (f *fetch) confirm(ctx context.Context, t *fetchTask, limit int, first bool) (topiclog.Chunk, error) {
	wait, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := t.log.Confirm(wait, 0); err != nil {
		f.api.retriable(&t.place, "confirm before offset out of range", err)
		return topiclog.Chunk{}, err
	}
	return f.readLog(ctx, t, limit, first)
}

// join puts batches side by side; a single one is not copied.
func join(c topiclog.Chunk) []byte {
	switch len(c.Batches) {
	case 0:
		return []byte{}
	case 1:
		return c.Batches[0]
	}
	whole := make([]byte, 0, c.Bytes)
	for _, b := range c.Batches {
		whole = append(whole, b...)
	}
	return whole
}
