package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tooLarge wants a batch above the topic's limit refused, one at it taken after
// the limit is raised at creation, and the connection to live on.
func tooLarge(t *testing.T, on target) {
	topic, wide := newTopic(t, on, 1), newTopic(t, on, 1, "max.message.bytes", strconv.Itoa(4<<20))
	cl := newClient(t, on, kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	ctx := limited(t, 30*time.Second)
	large := strings.Repeat("x", 3<<20)
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(large)}).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("3 MiB into a topic with the default limit: %v", err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("small")}).FirstErr(); err != nil {
		t.Errorf("a small record after it: %v", err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: wide, Value: []byte(large)}).FirstErr(); err != nil {
		t.Fatalf("3 MiB into a topic with max.message.bytes of 4 MiB: %v", err)
	}
	if r := consume(t, on, wide, starts(1), 1); string(r[0].Value) != large {
		t.Error("it came back other than it was sent")
	}
	if r := consume(t, on, topic, starts(1), 1); string(r[0].Value) != "small" {
		t.Error("the refused record left something behind")
	}
}

// fetchFromTheMiddle starts at offsets inside a batch.
func fetchFromTheMiddle(t *testing.T, on target) {
	const n = 1000
	topic := newTopic(t, on, 1)
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(50*time.Millisecond))
	var records []*kgo.Record
	for _, s := range numbered(0, n) {
		records = append(records, kgo.StringRecord(s))
	}
	if err := cl.ProduceSync(limited(t, 30*time.Second), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{0, 1, 17, n / 2, n - 1} {
		for i, r := range consume(t, on, topic, map[int32]int64{0: from}, n-int(from)) {
			if r.Offset != from+int64(i) || string(r.Value) != strconv.Itoa(int(from)+i) {
				t.Fatalf("from %d: record %d has offset %d and holds %q", from, i, r.Offset, r.Value)
			}
		}
	}
}

// fetchWaits holds the long poll to its word: it ends when its time is over,
// and at once when there is a record.
func fetchWaits(t *testing.T, on target) {
	topic := newTopic(t, on, 1)
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.ManualFlushing())
	begun := time.Now()
	if got := fetchOnce(t, cl, topic, 0, 700*time.Millisecond); got != 0 {
		t.Fatalf("%d bytes of an empty topic", got)
	}
	if took := time.Since(begun); took < 650*time.Millisecond || took > 10*time.Second {
		t.Errorf("an empty fetch of at most 700 ms took %s", took)
	}
	answered := make(chan int, 1)
	sent := time.Now()
	go func() { answered <- fetchOnce(t, cl, topic, 0, 30*time.Second) }()
	// Long enough for the fetch to be waiting in nearly every run; the outcome is
	// the same if it is not.
	select {
	case got := <-answered:
		t.Fatalf("a fetch of nothing returned %d bytes after %s, not 30 s", got, time.Since(sent))
	case <-time.After(500 * time.Millisecond):
	}
	producer := newClient(t, on, kgo.DefaultProduceTopic(topic))
	if err := producer.ProduceSync(limited(t, 30*time.Second), kgo.StringRecord("wake")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-answered:
		if got == 0 {
			t.Error("the fetch came back empty")
		}
	case <-time.After(10 * time.Second):
		t.Error("the record did not wake the fetch")
	}
}

// fetchOnce sends one Fetch for a partition and returns how many bytes came.
func fetchOnce(t *testing.T, cl *kgo.Client, topic string, partition int32, wait time.Duration) int {
	meta, err := kadm.NewClient(cl).Metadata(t.Context(), topic)
	if err != nil {
		t.Error(err)
		return 0
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.ReplicaID = int32(wait.Milliseconds()), 1, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, meta.Topics[topic].ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = partition, 1<<20, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(context.WithoutCancel(t.Context()), cl.Broker(int(meta.Topics[topic].Partitions[partition].Leader)))
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil || len(resp.Topics) == 0 {
		if err != nil {
			t.Error(err)
		}
		return 0
	}
	p := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		t.Error(err)
	}
	return len(p.RecordBatches)
}

// offsetsByTimestamp looks offsets up by the time of records, which stand in
// several batches and partitions.
func offsetsByTimestamp(t *testing.T, on target) {
	const n = 60
	topic := newTopic(t, on, 2)
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	epoch := time.UnixMilli(1_700_000_000_000)
	for i := 0; i < n; i += 6 { // ten batches of six
		var batch []*kgo.Record
		for j := i; j < i+6; j++ {
			batch = append(batch, &kgo.Record{Value: []byte(strconv.Itoa(j)), Timestamp: epoch.Add(time.Duration(j) * time.Second)})
		}
		if err := cl.ProduceSync(limited(t, 30*time.Second), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(cl)
	for i := range n {
		at := epoch.Add(time.Duration(i) * time.Second).UnixMilli()
		requireOffset(t, adm, topic, at, int64(i))
		requireOffset(t, adm, topic, at-999, int64(i))
	}
	requireOffset(t, adm, topic, 0, 0)
	if got := offsetsOf(t, topic, adm.ListStartOffsets); got[0] != 0 || got[1] != 0 {
		t.Errorf("start offsets %v", got)
	}
	if got := offsetsOf(t, topic, adm.ListEndOffsets); got[0] != n || got[1] != 0 {
		t.Errorf("end offsets %v", got)
	}
	// kadm turns an answer of "none" into the end offset.
	requireOffset(t, adm, topic, epoch.Add(n*time.Second).UnixMilli(), n)
	newest, err := adm.ListMaxTimestampOffsets(limited(t, 30*time.Second), topic)
	if err == nil {
		err = newest.Error()
	}
	if o, _ := newest.Lookup(topic, 0); err != nil || o.Offset != n-1 || o.Timestamp != epoch.Add((n-1)*time.Second).UnixMilli() {
		t.Errorf("the newest record is at %+v: %v", o, err)
	}
}

func requireOffset(t *testing.T, adm *kadm.Client, topic string, milli, want int64) {
	t.Helper()
	listed, err := adm.ListOffsetsAfterMilli(limited(t, 30*time.Second), milli, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := listed.Lookup(topic, 0); !ok || o.Offset != want {
		t.Errorf("at %d ms: offset %s, not %d", milli, fmt.Sprint(o.Offset), want)
	}
}
