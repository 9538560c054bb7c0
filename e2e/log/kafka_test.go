package log_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
	"kanal/libs/service"
	"kanal/services/frontend"
	"kanal/services/metadata"
	"kanal/services/records"
)

// kanal is a front end with handlers around one nats-server, each service as alone as in a process of its own.
type kanal struct {
	seed  string
	nats  *server.Server
	front *frontend.Service
}

// running is a service that a test can stop.
type running struct {
	stop context.CancelFunc
	done chan struct{}
}

func (r *running) end() { r.stop(); <-r.done }

func run(t testing.TB, r service.Runner) *running {
	ctx, cancel := context.WithCancel(context.Background())
	it := &running{cancel, make(chan struct{})}
	go func() {
		defer close(it.done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(it.end)
	return it
}

func deps(s *server.Server) service.Deps {
	return service.Deps{Log: discard, Metrics: prometheus.NewRegistry(), Connect: service.Connector(context.Background(), service.NATS{NATSURL: s.ClientURL()}, discard), Ready: new(service.Readiness)}
}

func defaults[T any](t testing.TB) (cfg T) {
	t.Helper()
	if err := env.ParseWithOptions(&cfg, env.Options{Environment: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	return cfg
}

const brokers = 3

// startKanal starts everything but the records service.
func startKanal(t testing.TB) *kanal {
	t.Helper()
	s := startServer(t)
	m := defaults[metadata.Config](t)
	m.Brokers = brokers
	meta, err := metadata.New(m, deps(s))
	if err != nil {
		t.Fatal(err)
	}
	run(t, meta)
	f := defaults[frontend.Config](t)
	port := process.Ports(t, brokers+1)
	f.Brokers, f.RequiredServices = brokers, []string{"metadata", "records"}
	f.Listeners = fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port)
	f.DrainTimeout = time.Second // its records end before it, and nobody answers what comes then
	front, err := frontend.New(f, deps(s))
	if err != nil {
		t.Fatal(err)
	}
	run(t, front)
	return &kanal{fmt.Sprintf("127.0.0.1:%d", port), s, front}
}

func (k *kanal) startRecords(t testing.TB) *running {
	t.Helper()
	r, err := records.New(defaults[records.Config](t), deps(k.nats))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, r)
}

func (k *kanal) client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	select {
	case <-k.front.Opened():
	case <-time.After(30 * time.Second):
		t.Fatal("the front end opened no port within 30 s")
	}
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.seed), kgo.DisableIdempotentWrite(), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (k *kanal) createTopic(t testing.TB, c *kgo.Client, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	if r, err := kadm.NewClient(c).CreateTopic(ctx, partitions, 1, configs, topic); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
}

func TestProduceAndConsume(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "orders", 6, nil)
	const n = 20000
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p := k.client(t, kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		var wait sync.WaitGroup
		for i := range n {
			wait.Add(1)
			p.Produce(within(t, time.Minute), &kgo.Record{Topic: "orders", Partition: int32(i % 6), Value: fmt.Appendf(nil, "value %d", i/6)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
				wait.Done()
			})
		}
		wait.Wait()
	}
	consume(t, k, "orders", 5*n, func(r *kgo.Record, seen int64) error {
		if r.Offset != seen {
			return fmt.Errorf("partition %d: offset %d after %d records", r.Partition, r.Offset, seen)
		}
		per := int64(n / 6)
		if int64(r.Partition) < n%6 {
			per++
		}
		if want := fmt.Sprintf("value %d", seen%per); string(r.Value) != want {
			return fmt.Errorf("partition %d, offset %d: %q, want %q", r.Partition, r.Offset, r.Value, want)
		}
		return nil
	})
}

// consume reads a topic from the start and checks each record with the number of those before it in its partition.
func consume(t *testing.T, k *kanal, topic string, n int, check func(r *kgo.Record, seen int64) error) {
	t.Helper()
	c := k.client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(time.Second))
	ctx := within(t, time.Minute)
	seen := map[int32]int64{}
	for got := 0; got < n; {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", got, n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if err := check(r, seen[r.Partition]); err != nil {
				t.Fatal(err)
			}
			seen[r.Partition]++
			got++
		})
	}
}

func TestListOffsetsAndFetchErrors(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "times", 1, nil)
	begin := time.UnixMilli(time.Now().UnixMilli())
	for i := range 10 {
		r := &kgo.Record{Topic: "times", Timestamp: begin.Add(time.Duration(i) * time.Second), Value: []byte("v")}
		if err := c.ProduceSync(within(t, 30*time.Second), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(c)
	for name, f := range map[string]struct {
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
		want int64
	}{
		"start": {adm.ListStartOffsets, 0},
		"end":   {adm.ListEndOffsets, 10},
		"time": {func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return adm.ListOffsetsAfterMilli(ctx, begin.Add(3500*time.Millisecond).UnixMilli(), topics...)
		}, 4},
		"max":        {adm.ListMaxTimestampOffsets, 9},
		"local":      {adm.ListLocalLogStartOffsets, 0},
		"end, later": {adm.ListCommittedOffsets, 10},
	} {
		got, err := f.list(within(t, 30*time.Second), "times")
		if o, _ := got.Lookup("times", 0); err != nil || o.Err != nil || o.Offset != f.want {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 100, 1, 1<<20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = "times", topicID(t, c, "times")
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = 11, 1<<20
	topic.Partitions = append(topic.Partitions, p)
	fetch.Topics = append(fetch.Topics, topic)
	resp, err := fetch.RequestWith(within(t, 30*time.Second), c.Broker(int(leader(t, c, "times"))))
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Fatalf("behind the end: %+v, %v", resp, err)
	}
	if r := c.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: "times", Partition: 0, Timestamp: begin.Add(24 * time.Hour)}); !errors.Is(r.FirstErr(), kerr.InvalidTimestamp) {
		t.Fatalf("a record from tomorrow: %v", r.FirstErr())
	}
}

func topicID(t *testing.T, c *kgo.Client, topic string) [16]byte {
	t.Helper()
	details, err := kadm.NewClient(c).ListTopics(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return details[topic].ID
}

func leader(t *testing.T, c *kgo.Client, topic string) int32 {
	t.Helper()
	details, err := kadm.NewClient(c).ListTopics(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return details[topic].Partitions[0].Leader
}

// A long poll is woken by the commit, not by its timeout and not by asking.
func TestLongPoll(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "news", 1, nil)
	reader := k.client(t, kgo.ConsumeTopics("news"), kgo.FetchMaxWait(20*time.Second))
	got := make(chan time.Time, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(*kgo.Record) { got <- time.Now() })
		}
	}()
	for i := range 5 {
		if err := c.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: "news", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		acked := time.Now()
		at := <-got
		if took := at.Sub(acked); i > 0 && took > time.Second { // the first waits for the reader to start
			t.Errorf("record %d arrived %v after its acknowledgement", i, took)
		}
	}
}

// Instances come and go under load; with sequence numbers nothing is lost, doubled or out of order.
func TestInstancesComeAndGo(t *testing.T) {
	k := startKanal(t)
	keep := k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "steady", 6, nil)
	id := topicID(t, c, "steady")
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	var counts [6]int
	for p := range 6 {
		wait.Go(func() { counts[p] = produceSequenced(ctx, t, c, "steady", id, int32(p)) })
	}
	for range 3 {
		second := k.startRecords(t)
		time.Sleep(700 * time.Millisecond) // the load's own time
		if keep != nil {
			keep.end()
		}
		time.Sleep(700 * time.Millisecond)
		keep = second
	}
	cancel()
	wait.Wait()
	total := 0
	for p, n := range counts {
		if total += n; n < 10 {
			t.Errorf("partition %d took %d batches only", p, n)
		}
	}
	consume(t, k, "steady", total, func(r *kgo.Record, seen int64) error {
		if want := fmt.Sprint("value ", seen); r.Offset != seen || string(r.Value) != want {
			return fmt.Errorf("partition %d, offset %d: %q, want %q at %d", r.Partition, r.Offset, r.Value, want, seen)
		}
		return nil
	})
}

// produceSequenced plays an idempotent producer by hand: one batch at a time, each sent until it is acknowledged.
func produceSequenced(ctx context.Context, t *testing.T, c *kgo.Client, topic string, id [16]byte, partition int32) int {
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return n
		}
		for sent := time.Now(); ; {
			code, base, err := sendBatch(c, topic, id, partition, int64(1000+partition), int32(n), fmt.Sprint("value ", n))
			if err == nil && code == 0 {
				if base != int64(n) {
					t.Errorf("partition %d: batch %d is at offset %d", partition, n, base)
				}
				break
			}
			if k := kerr.TypedErrorForCode(code); err == nil && !k.Retriable || time.Since(sent) > 30*time.Second {
				t.Errorf("partition %d: batch %d: %v, %v", partition, n, k, err)
				return n
			}
		}
	}
}

func sendBatch(c *kgo.Client, topic string, id [16]byte, partition int32, producer int64, sequence int32, value string) (int16, int64, error) {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = -1, 5000
	qt := kmsg.NewProduceRequestTopic()
	qt.Topic, qt.TopicID = topic, id
	qp := kmsg.NewProduceRequestTopicPartition()
	qp.Partition, qp.Records = partition, idempotentBatch(producer, sequence, value)
	qt.Partitions = append(qt.Partitions, qp)
	q.Topics = append(q.Topics, qt)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	resp, err := q.RequestWith(ctx, c)
	if err != nil {
		return 0, 0, err
	}
	p := &resp.Topics[0].Partitions[0]
	return p.ErrorCode, p.BaseOffset, nil
}
