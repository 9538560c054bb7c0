package api

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/log"
	"kanal/libs/log/logtest"
	"kanal/libs/requestchannel"
	"kanal/services/records/internal/holder"
	"kanal/services/records/internal/session"
	"kanal/services/records/internal/topiclog"
)

// world is a cluster of one topic "t" with four partitions in two logs: log 0 is led by broker 1, log 1 by broker 2.
type world struct {
	topic   *cluster.Topic
	mu      sync.Mutex
	holders map[int32]string // by broker; this instance is "here"; guarded by mu
	broken  atomic.Bool      // logs do not open
	streams map[int32]*logtest.Stream
	holder  *holder.Holder
	api     *API
	epoch   int32 // changed only between requests
}

func (w *world) Topic(name string) *cluster.Topic {
	if name == w.topic.Name {
		return w.topic
	}
	return nil
}

func (w *world) TopicByID(id [16]byte) *cluster.Topic {
	if id == w.topic.ID {
		return w.topic
	}
	return nil
}

func (w *world) Topics() []*cluster.Topic             { return []*cluster.Topic{w.topic} }
func (w *world) Space(context.Context) (int64, int64) { return 100, 40 }
func (w *world) Info() cluster.Info                   { return cluster.Info{LeaderEpoch: w.epoch, Brokers: 2} }
func (w *world) Leader(_ string, index int32) int32   { return index + 1 }
func (w *world) ID() string                           { return "here" }
func (w *world) Now(listener string, n int32) (brokers []cluster.Broker) {
	for id := range n {
		brokers = append(brokers, cluster.Broker{ID: id + 1, Host: listener, Port: 9000 + id})
	}
	return brokers
}
func (w *world) Holder(_ string, broker int32) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.holders[broker]
	return h, ok
}

// hold says who holds a broker; "" for nobody.
func (w *world) hold(broker int32, instance string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holders[broker] = instance; instance == "" {
		delete(w.holders, broker)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{topic: &cluster.Topic{Name: "t", ID: [16]byte{1}, Partitions: 4, Logs: 2, Configs: map[string]string{}},
		holders: map[int32]string{1: "here", 2: "here"}, streams: map[int32]*logtest.Stream{0: logtest.NewStream(1, logtest.Faults{}), 1: logtest.NewStream(2, logtest.Faults{})}, epoch: 5}
	cache, quiet := topiclog.NewCache(8<<20, nil), slog.New(slog.DiscardHandler)
	w.holder = holder.New(w, w, func(ctx context.Context, _ *cluster.Topic, index int32) (*topiclog.Log, error) {
		if w.broken.Load() {
			return nil, log.ErrNoStream
		}
		return topiclog.Open(ctx, topiclog.Config{Name: "t", Storage: w.streams[index], Cache: cache, LeaderEpoch: func() int32 { return w.epoch }, Log: quiet})
	}, quiet)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.holder.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	w.api = New(Config{Topics: w, Holder: w.holder, Addresses: w, Space: w, MaxBatch: func() int { return topiclog.MaxBatch(w.streams[0]) }, Log: quiet,
		Sessions: session.NewCache(session.Limits{Sessions: 2, Partitions: 100, Idle: time.Minute}, time.Now)})
	return w
}

func request(body kmsg.Request, version int16) *handler.Request {
	body.SetVersion(version)
	return &handler.Request{Incoming: new(requestchannel.Incoming), Body: body}
}

// batchOf is a valid batch of one record, with a sequence number if id is not negative.
func batchOf(t *testing.T, id int64, sequence int32, value []byte, change func(*kmsg.RecordBatch)) []byte {
	t.Helper()
	r := kmsg.NewRecord()
	r.Value = value
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now, ProducerID: id, FirstSequence: sequence, NumRecords: 1, Records: r.AppendTo(nil)}
	if change != nil {
		change(&b)
	}
	return sealed(b.AppendTo(nil))
}

func produceRequest(acks int16, records map[int32][]byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = acks, 10000
	qt := kmsg.NewProduceRequestTopic()
	qt.Topic, qt.TopicID = "t", [16]byte{1}
	for p := int32(0); p < 10; p++ {
		if b, ok := records[p]; ok {
			qp := kmsg.NewProduceRequestTopicPartition()
			qp.Partition, qp.Records = p, b
			qt.Partitions = append(qt.Partitions, qp)
		}
	}
	q.Topics = append(q.Topics, qt)
	return q
}

func codesOf(resp kmsg.Response) map[int32]int16 {
	codes := map[int32]int16{}
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		for _, p := range r.Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	case *kmsg.FetchResponse:
		for _, p := range r.Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	case *kmsg.ListOffsetsResponse:
		for _, p := range r.Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	}
	return codes
}

func wantCodes(t *testing.T, resp kmsg.Response, err error, want map[int32]*kerr.Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	codes := codesOf(resp)
	if len(codes) != len(want) {
		t.Fatalf("%d partitions answered, want %d", len(codes), len(want))
	}
	for p, k := range want {
		if got := kerr.TypedErrorForCode(codes[p]); got != k {
			t.Errorf("partition %d: %v, want %v", p, got, k)
		}
	}
}

func TestProduceErrors(t *testing.T) {
	good := func() []byte { return batchOf(t, -1, -1, []byte("v"), nil) }
	for name, c := range map[string]struct {
		version int16
		acks    int16
		request func(*kmsg.ProduceRequest, *handler.Request)
		records []byte
		want    *kerr.Error
	}{
		"good":                    {version: 9, acks: -1, records: good()},
		"by id":                   {version: 13, acks: 1, records: good()},
		"unknown id":              {version: 13, acks: 1, records: good(), request: func(q *kmsg.ProduceRequest, _ *handler.Request) { q.Topics[0].TopicID[0]++ }, want: kerr.UnknownTopicID},
		"unknown name":            {version: 12, acks: 1, records: good(), request: func(q *kmsg.ProduceRequest, _ *handler.Request) { q.Topics[0].Topic = "u" }, want: kerr.UnknownTopicOrPartition},
		"unknown partition":       {version: 12, acks: 1, records: good(), request: func(q *kmsg.ProduceRequest, _ *handler.Request) { q.Topics[0].Partitions[0].Partition = 4 }, want: kerr.UnknownTopicOrPartition},
		"old version":             {version: 2, acks: 1, records: good(), want: kerr.UnsupportedVersion},
		"two acks":                {version: 9, acks: 2, records: good(), want: kerr.InvalidRequiredAcks},
		"transaction without id":  {version: 9, acks: -1, records: batchOf(t, 1, 0, nil, func(b *kmsg.RecordBatch) { b.Attributes |= 1 << 4 }), want: kerr.TransactionalIDAuthorizationFailed},
		"too large for topic":     {version: 9, acks: -1, records: batchOf(t, -1, -1, make([]byte, 1048588), nil), want: kerr.MessageTooLarge},
		"repeated without number": {version: 9, acks: -1, records: good(), request: func(_ *kmsg.ProduceRequest, r *handler.Request) { r.Redelivered = true }, want: kerr.NotLeaderForPartition},
		"repeated with number":    {version: 9, acks: -1, records: batchOf(t, 1, 0, nil, nil), request: func(_ *kmsg.ProduceRequest, r *handler.Request) { r.Redelivered = true }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q := produceRequest(c.acks, map[int32][]byte{0: c.records})
			r := request(q, c.version)
			if c.request != nil {
				c.request(q, r)
			}
			resp, err := w.api.produce(context.Background(), r)
			wantCodes(t, resp, err, map[int32]*kerr.Error{q.Topics[0].Partitions[0].Partition: c.want})
			if o := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].BaseOffset; (o == 0) != (c.want == nil) {
				t.Errorf("base offset %d", o)
			}
		})
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if _, err := w.api.produce(ctx, request(produceRequest(0, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil)}), 9)); !errors.Is(err, handler.ErrNoResponse) {
		t.Fatalf("good: %v", err)
	}
	if _, err := w.api.produce(ctx, request(produceRequest(0, map[int32][]byte{9: batchOf(t, -1, -1, nil, nil)}), 9)); !errors.Is(err, handler.ErrCloseConnection) {
		t.Fatalf("bad: %v", err)
	}
	again := request(produceRequest(0, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil)}), 9)
	again.Redelivered = true
	if _, err := w.api.produce(ctx, again); !errors.Is(err, handler.ErrNoResponse) {
		t.Fatalf("again: %v", err)
	}
	if n := len(w.streams[0].Records()); n != 1 {
		t.Fatalf("%d records stored", n)
	}
}

func TestRouting(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	records := func(partitions ...int32) *handler.Request {
		all := map[int32][]byte{}
		for _, p := range partitions {
			all[p] = batchOf(t, -1, -1, nil, nil)
		}
		return request(produceRequest(-1, all), 9)
	}
	w.hold(2, "there")
	if _, err := w.api.produce(ctx, records(1, 3)); err == nil || err.Error() != handler.Redirect("there").Error() {
		t.Fatalf("all held there: %v", err)
	}
	resp, err := w.api.produce(ctx, records(0, 1, 2))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil, 1: kerr.NotLeaderForPartition, 2: nil})
	must := records(1, 3)
	must.MustServe = true
	resp, err = w.api.produce(ctx, must)
	wantCodes(t, resp, err, map[int32]*kerr.Error{1: nil, 3: nil})
	resp, err = w.api.produce(ctx, records(1, 9))
	if err == nil {
		wantCodes(t, resp, err, nil)
	} else if err.Error() != handler.Redirect("there").Error() { // what is unknown is so there as well
		t.Fatal(err)
	}
	w.hold(1, "elsewhere")
	resp, err = w.api.produce(ctx, records(0, 1))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.NotLeaderForPartition, 1: kerr.NotLeaderForPartition})
	w.hold(1, "") // nobody is announced: whoever is asked serves
	resp, err = w.api.produce(ctx, records(0))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
}

// fetchRequest asks for partitions from an offset.
func fetchRequest(offsets map[int32]int64, change func(*kmsg.FetchRequest)) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MinBytes, q.MaxBytes = 1, 1<<20
	qt := kmsg.NewFetchRequestTopic()
	qt.Topic, qt.TopicID = "t", [16]byte{1}
	for p := int32(0); p < 10; p++ {
		if o, ok := offsets[p]; ok {
			qp := kmsg.NewFetchRequestTopicPartition()
			qp.Partition, qp.FetchOffset, qp.PartitionMaxBytes = p, o, 1<<20
			qt.Partitions = append(qt.Partitions, qp)
		}
	}
	q.Topics = append(q.Topics, qt)
	if change != nil {
		change(q)
	}
	return q
}

func TestFetchAssembly(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	size := 0
	for range 5 {
		for p := range int32(3) {
			b := batchOf(t, -1, -1, make([]byte, 1000), nil)
			size = len(b)
			resp, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{p: b}), 9))
			wantCodes(t, resp, err, map[int32]*kerr.Error{p: nil})
		}
	}
	for name, c := range map[string]struct {
		offsets map[int32]int64
		change  func(*kmsg.FetchRequest)
		granted uint32
		want    map[int32]int // batches
	}{
		"everything":                          {offsets: map[int32]int64{0: 0, 1: 2, 3: 0}, want: map[int32]int{0: 5, 1: 3, 3: 0}},
		"the first even if too large":         {offsets: map[int32]int64{0: 0, 1: 0}, change: func(q *kmsg.FetchRequest) { q.MaxBytes = 10 }, want: map[int32]int{0: 1, 1: 0}},
		"of the first partition that has any": {offsets: map[int32]int64{0: 5, 1: 0}, change: func(q *kmsg.FetchRequest) { q.MaxBytes = 10 }, want: map[int32]int{0: 0, 1: 1}},
		"limit of a partition":                {offsets: map[int32]int64{0: 0, 1: 0}, change: func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].PartitionMaxBytes = int32(2*size + 1) }, want: map[int32]int{0: 2, 1: 5}},
		"limit of the request":                {offsets: map[int32]int64{0: 0, 1: 0}, change: func(q *kmsg.FetchRequest) { q.MaxBytes = int32(7 * size) }, want: map[int32]int{0: 5, 1: 2}},
		"within the grant":                    {offsets: map[int32]int64{0: 0, 1: 0}, granted: uint32(4 * size), want: map[int32]int{0: 3, 1: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(fetchRequest(c.offsets, c.change), 12)
			r.Granted = c.granted
			resp, err := w.api.fetch(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range resp.(*kmsg.FetchResponse).Topics[0].Partitions {
				if p.ErrorCode != 0 || len(p.RecordBatches) != c.want[p.Partition]*size {
					t.Errorf("partition %d: code %d, %d bytes, want %d batches of %d", p.Partition, p.ErrorCode, len(p.RecordBatches), c.want[p.Partition], size)
				}
				if end := map[bool]int64{true: 5}[p.Partition < 3]; p.HighWatermark != end || p.LastStableOffset != end || p.LogStartOffset != 0 {
					t.Errorf("partition %d: ends %d, %d, %d", p.Partition, p.HighWatermark, p.LastStableOffset, p.LogStartOffset)
				}
			}
		})
	}
}

func TestFetchErrors(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	resp, err := w.api.fetch(ctx, request(fetchRequest(map[int32]int64{0: 1, 1: -1, 2: 0, 9: 0}, nil), 12))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.OffsetOutOfRange, 1: kerr.OffsetOutOfRange, 2: nil, 9: kerr.UnknownTopicOrPartition})
	resp, err = w.api.fetch(ctx, request(fetchRequest(map[int32]int64{0: 0}, func(q *kmsg.FetchRequest) { q.Topics[0].TopicID[0]++ }), 13))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.UnknownTopicID})
	for epoch, want := range map[int32]*kerr.Error{-1: nil, 4: kerr.FencedLeaderEpoch, 5: nil, 6: kerr.UnknownLeaderEpoch} {
		resp, err = w.api.fetch(ctx, request(fetchRequest(map[int32]int64{0: 0}, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch }), 12))
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: want})
	}
	resp, err = w.api.fetch(ctx, request(fetchRequest(map[int32]int64{0: 0}, func(q *kmsg.FetchRequest) { q.SessionID, q.SessionEpoch = 7, 1 }), 12))
	if r, _ := resp.(*kmsg.FetchResponse); err != nil || r.ErrorCode != kerr.FetchSessionIDNotFound.Code || r.SessionID != 0 {
		t.Fatalf("a session of another's: %+v, %v", resp, err)
	}
}

func TestListOffsetsByVersion(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	resp, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil)}), 9))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	for _, c := range []struct {
		version   int16
		timestamp int64
		code      *kerr.Error
		offset    int64
		epoch     int32
	}{
		{1, latestOffset, nil, 1, 5}, {10, earliestOffset, nil, 0, 5}, {10, 0, nil, 0, 5}, {10, 1 << 50, nil, -1, -1}, {10, -99, kerr.UnsupportedVersion, -1, -1},
		{6, maxTimestamp, kerr.UnsupportedVersion, -1, -1}, {7, maxTimestamp, nil, 0, 5}, {7, earliestLocal, kerr.UnsupportedVersion, -1, -1}, {8, earliestLocal, nil, 0, 5},
		{8, latestTiered, kerr.UnsupportedVersion, -1, -1}, {9, latestTiered, nil, -1, -1},
	} {
		q := kmsg.NewPtrListOffsetsRequest()
		qt := kmsg.NewListOffsetsRequestTopic()
		qp := kmsg.NewListOffsetsRequestTopicPartition()
		qp.Timestamp = c.timestamp
		qt.Topic, qt.Partitions = "t", append(qt.Partitions, qp)
		q.Topics = append(q.Topics, qt)
		resp, err := w.api.listOffsets(ctx, request(q, c.version))
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: c.code})
		if p := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.Offset != c.offset || p.LeaderEpoch != c.epoch {
			t.Errorf("version %d, timestamp %d: offset %d, epoch %d", c.version, c.timestamp, p.Offset, p.LeaderEpoch)
		}
	}
}

// An instance whose log's stream is gone answers with a retriable error, and asks again the next time.
func TestLogsThatDoNotOpen(t *testing.T) {
	w := newWorld(t)
	w.broken.Store(true)
	produce := func() (kmsg.Response, error) {
		return w.api.produce(context.Background(), request(produceRequest(-1, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil)}), 9))
	}
	resp, err := produce()
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: kerr.NotLeaderForPartition})
	w.broken.Store(false)
	for end := time.Now().Add(10 * time.Second); codesOf(resp)[0] != 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if resp, err = produce(); err != nil {
			t.Fatal(err)
		}
	}
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
}
