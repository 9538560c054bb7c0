package api

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/services/records/internal/topiclog"
)

// coordinator answers every check the same way; each waits for the gate if there is one.
type coordinator struct {
	mu     sync.Mutex
	asked  []*kmsg.AddPartitionsToTxnRequest
	broker int32
	number uint32
	code   int16
	err    error
	gate   chan struct{}
}

func (c *coordinator) Ask(ctx context.Context, service string, broker int32, q kmsg.Request) (kmsg.Response, error) {
	c.mu.Lock()
	r := q.(*kmsg.AddPartitionsToTxnRequest)
	c.asked, c.broker = append(c.asked, r), broker
	number, code, err, gate := c.number, c.code, c.err, c.gate
	c.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if service != "groups" || q.GetVersion() != 5 {
		return nil, errors.New("asked wrongly")
	}
	resp := q.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	for _, x := range r.Transactions {
		rt := kmsg.NewAddPartitionsToTxnResponseTransaction()
		rt.TransactionalID = x.TransactionalID
		rt.UnknownTags.Set(10000, binary.BigEndian.AppendUint32(nil, number))
		for _, t := range x.Topics {
			out := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			out.Topic = t.Topic
			for _, p := range t.Partitions {
				out.Partitions = append(out.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: p, ErrorCode: code})
			}
			rt.Topics = append(rt.Topics, out)
		}
		resp.Transactions = append(resp.Transactions, rt)
	}
	return resp, err
}

func (c *coordinator) set(number uint32, code int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number, c.code = number, code
}

func (c *coordinator) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

func newTransactions(t *testing.T) (*world, *coordinator) {
	w, c := newWorld(t), &coordinator{number: 1}
	w.api.Asks(c, func(id string) int32 { return int32(len(id)) })
	return w, c
}

func transactional(b *kmsg.RecordBatch) { b.Attributes |= 1 << 4 }

// write produces one transactional record of producer 1.
func (w *world) write(t *testing.T, version int16, epoch int16, sequence int32, partitions ...int32) (kmsg.Response, error) {
	records := map[int32][]byte{}
	for _, p := range partitions {
		records[p] = batchOf(t, 1, sequence, []byte("v"), func(b *kmsg.RecordBatch) { transactional(b); b.ProducerEpoch = epoch })
	}
	q := produceRequest(-1, records)
	q.TransactionID = kmsg.StringPtr("tx")
	return w.api.produce(context.Background(), request(q, version))
}

func (w *world) end(t *testing.T, epoch int16, number uint32, commit bool, partition int32, want *kerr.Error) {
	t.Helper()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = 1, epoch, commit, int32(number)
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: []int32{partition}}}
	q := kmsg.NewPtrWriteTxnMarkersRequest()
	q.Markers = append(q.Markers, m)
	r := request(q, 1)
	r.Privileged = true
	resp, err := w.api.writeTxnMarkers(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.(*kmsg.WriteTxnMarkersResponse).Markers[0]; got.ProducerID != 1 || kerr.ErrorForCode(got.Topics[0].Partitions[0].ErrorCode) != errorOf(want) {
		t.Fatalf("marker: %+v, want %v", got, want)
	}
}

func errorOf(k *kerr.Error) error {
	if k == nil {
		return nil
	}
	return k
}

// look is what a fetch from an offset of partition 0 and ListOffsets say.
func (w *world) look(t *testing.T, isolation int8, offset int64) (p kmsg.FetchResponseTopicPartition, latest int64) {
	t.Helper()
	resp, err := w.api.fetch(context.Background(), request(fetchRequest(map[int32]int64{0: offset}, func(q *kmsg.FetchRequest) { q.IsolationLevel = isolation }), 12))
	if err != nil {
		t.Fatal(err)
	}
	q := kmsg.NewPtrListOffsetsRequest()
	q.IsolationLevel = isolation
	qt := kmsg.NewListOffsetsRequestTopic()
	qp := kmsg.NewListOffsetsRequestTopicPartition()
	qp.Timestamp = latestOffset
	qt.Topic, qt.Partitions = "t", append(qt.Partitions, qp)
	q.Topics = append(q.Topics, qt)
	listed, err := w.api.listOffsets(context.Background(), request(q, 7))
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0], listed.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
}

func TestOpenHidesAndMarkersShow(t *testing.T) {
	w, c := newTransactions(t)
	resp, err := w.write(t, 9, 0, 0, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	resp, err = w.write(t, 9, 0, 1, 0) // of the open transaction: nobody is asked
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	if x := c.asked[0].Transactions[0]; len(c.asked) != 1 || !x.VerifyOnly || x.TransactionalID != "tx" || x.ProducerID != 1 || c.broker != 2 {
		t.Fatalf("asked %+v", c.asked)
	}
	if p, latest := w.look(t, 1, 0); len(p.RecordBatches) != 0 || p.LastStableOffset != 0 || p.HighWatermark != 2 || latest != 0 || p.AbortedTransactions == nil {
		t.Fatalf("open, read_committed: %+v, latest %d", p, latest)
	}
	if p, latest := w.look(t, 0, 0); len(p.RecordBatches) == 0 || p.LastStableOffset != 0 || latest != 2 || p.AbortedTransactions != nil {
		t.Fatalf("open, read_uncommitted: %+v, latest %d", p, latest)
	}
	w.end(t, 0, 1, true, 0, nil)
	if p, latest := w.look(t, 1, 0); len(p.RecordBatches) == 0 || p.LastStableOffset != 3 || latest != 3 || len(p.AbortedTransactions) != 0 {
		t.Fatalf("committed: %+v, latest %d", p, latest)
	}
	c.set(2, 0)
	resp, err = w.write(t, 9, 0, 2, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	w.end(t, 0, 2, false, 0, nil)
	w.end(t, 0, 2, false, 0, nil) // repeated
	w.end(t, 0, 1, true, 0, nil)  // late
	if p, latest := w.look(t, 1, 0); p.LastStableOffset != 5 || latest != 5 || len(p.AbortedTransactions) != 1 || p.AbortedTransactions[0].ProducerID != 1 || p.AbortedTransactions[0].FirstOffset != 3 {
		t.Fatalf("aborted: %+v, latest %d", p, latest)
	}
	if p, _ := w.look(t, 0, 0); p.AbortedTransactions != nil {
		t.Fatalf("read_uncommitted is told of aborted transactions: %+v", p)
	}
}

// A parked fetch of what is committed sleeps until the transaction ends.
func TestParkedUntilCommitted(t *testing.T) {
	w, _ := newTransactions(t)
	ctx := context.Background()
	resp, err := w.write(t, 9, 0, 0, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	l, err := w.holder.Open(w.topic, 0).Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	q := fetchRequest(map[int32]int64{0: 0}, func(q *kmsg.FetchRequest) { q.IsolationLevel = readCommitted })
	f := &fetch{api: w.api, r: request(q, 12), q: q, tasks: []fetchTask{{place: *w.api.byName("t", 0), max: 1 << 20, out: new(kmsg.FetchResponseTopicPartition), log: l}}}
	if have, failed := f.readAll(ctx); have != 0 || failed {
		t.Fatalf("%d bytes of an open transaction, failed %v", have, failed)
	}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	resp, err = w.write(t, 9, 0, 1, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	if f.wait(soon, 1, time.Minute) {
		t.Fatal("woken while the transaction is open")
	}
	woken := make(chan bool, 1)
	go func() { woken <- f.wait(ctx, 1, 20*time.Second) }()
	w.end(t, 0, 1, true, 0, nil)
	began := time.Now()
	if !<-woken || time.Since(began) > 15*time.Second {
		t.Fatal("not woken by the marker")
	}
	if have, failed := f.readAll(ctx); have == 0 || failed {
		t.Fatalf("%d bytes, failed %v", have, failed)
	}
}

func TestFencing(t *testing.T) {
	w, c := newTransactions(t)
	resp, err := w.write(t, 12, 0, 0, 0, 1)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil, 1: nil})
	if x := c.asked[0].Transactions; len(c.asked) != 1 || len(x) != 1 || x[0].VerifyOnly || len(x[0].Topics) != 1 || len(x[0].Topics[0].Partitions) != 2 {
		t.Fatalf("asked %+v", c.asked)
	}
	w.end(t, 1, 1, true, 0, nil) // one above that of the batches
	resp, err = w.write(t, 12, 0, 1, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.InvalidProducerEpoch})
	resp, err = w.write(t, 12, 1, 0, 0) // the coordinator has not noticed that this transaction has ended
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.InvalidTxnState})
	c.set(2, 0)
	resp, err = w.write(t, 12, 1, 0, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	w.end(t, 0, 3, true, 0, kerr.InvalidProducerEpoch)
	w.end(t, 0, 3, true, 9, kerr.UnknownTopicOrPartition)
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: []int32{0}}}
	q := kmsg.NewPtrWriteTxnMarkersRequest()
	q.Markers = append(q.Markers, m)
	answer, err := w.api.writeTxnMarkers(context.Background(), request(q, 1))
	if err != nil || answer.(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions[0].ErrorCode != kerr.ClusterAuthorizationFailed.Code {
		t.Fatalf("a client's marker: %+v, %v", answer, err)
	}
}

func TestWhatTheCoordinatorRefuses(t *testing.T) {
	for _, c := range []struct {
		told    *kerr.Error
		version int16
		want    *kerr.Error
	}{
		{kerr.InvalidTxnState, 9, kerr.InvalidTxnState}, {kerr.InvalidProducerIDMapping, 9, kerr.InvalidProducerIDMapping}, {kerr.ProducerFenced, 9, kerr.InvalidProducerEpoch},
		{kerr.ConcurrentTransactions, 11, kerr.NotEnoughReplicas}, {kerr.ConcurrentTransactions, 12, kerr.ConcurrentTransactions}, {kerr.CoordinatorLoadInProgress, 12, kerr.NotEnoughReplicas},
		{kerr.NotCoordinator, 9, kerr.NotEnoughReplicas}, {kerr.TransactionAbortable, 10, kerr.InvalidTxnState}, {kerr.TransactionAbortable, 11, kerr.TransactionAbortable},
	} {
		w, coord := newTransactions(t)
		coord.set(1, c.told.Code)
		resp, err := w.write(t, c.version, 0, 0, 0)
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: c.want})
		if n := len(w.streams[0].Records()); n != 0 {
			t.Errorf("%v: written all the same", c.told)
		}
		if again := coord.times() > 1; again != (c.told == kerr.ConcurrentTransactions) {
			t.Errorf("%v: asked again: %v", c.told, again)
		}
	}
	w, coord := newTransactions(t)
	coord.err = errors.New("nobody there")
	resp, err := w.write(t, 9, 0, 0, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.NotEnoughReplicas})
	two := map[int32][]byte{0: batchOf(t, 1, 0, nil, transactional), 1: batchOf(t, 2, 0, nil, transactional)}
	q := produceRequest(-1, two)
	q.TransactionID = kmsg.StringPtr("tx")
	resp, err = w.api.produce(context.Background(), request(q, 9))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.InvalidProducerIDMapping, 1: kerr.InvalidProducerIDMapping})
}

// Whoever comes while a producer's partition is being checked waits for that answer, and goes behind.
func TestOneCheckForAll(t *testing.T) {
	w, c := newTransactions(t)
	c.gate = make(chan struct{})
	var all sync.WaitGroup
	write := func(sequence int32) {
		all.Go(func() {
			resp, err := w.write(t, 9, 0, sequence, 0)
			if codes := codesOf(resp); err != nil || codes[0] != 0 {
				t.Errorf("sequence %d: %v, %v", sequence, codes, err)
			}
		})
	}
	write(0)
	for c.times() == 0 {
		time.Sleep(time.Millisecond)
	}
	write(1)
	time.Sleep(10 * time.Millisecond)
	close(c.gate)
	all.Wait()
	if n := c.times(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
}

// A holder that is behind takes a transaction for open that has ended. What the log then says has the coordinator asked.
func TestHolderThatIsBehind(t *testing.T) {
	w, c := newTransactions(t)
	resp, err := w.write(t, 9, 0, 0, 0)
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	c.set(2, 0)
	l, err := w.holder.Open(w.topic, 0).Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	q := produceRequest(-1, map[int32][]byte{0: batchOf(t, 1, 1, nil, transactional)})
	q.TransactionID = kmsg.StringPtr("tx")
	q.SetVersion(9)
	resp0 := q.ResponseKind().(*kmsg.ProduceResponse)
	tasks := w.api.produceTasks(q, resp0)
	t0 := &tasks[0]
	done := make(chan *topiclog.Append, 1)
	t0.log, t0.append.Done = l, done
	if !w.api.prepare(q, t0) || !t0.checked() || t0.append.Number != 1 {
		t.Fatalf("not seen as open: %+v", t0)
	}
	w.end(t, 0, 1, true, 0, nil)
	l.Append(&t0.append)
	t0.settle(<-done)
	if !t0.again || t0.code != 0 {
		t.Fatalf("again %v, code %d", t0.again, t0.code)
	}
	for _, task := range w.api.send(context.Background(), q, []*produceTask{t0}) {
		task.settle(<-done)
	}
	if t0.code != 0 || t0.append.Number != 2 || t0.out.BaseOffset != 2 {
		t.Fatalf("code %d, number %d, offset %d", t0.code, t0.append.Number, t0.out.BaseOffset)
	}
}
