package log_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
	"kanal/services/records"
)

// startRetaining starts a records service that looks for old records all the time.
func (k *kanal) startRetaining(t testing.TB) *running {
	t.Helper()
	cfg := defaults[records.Config](t)
	cfg.RetentionInterval = 200 * time.Millisecond
	r, err := records.New(cfg, deps(k.nats))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, r)
}

// stored is how many bytes the streams of topics hold, and how many of them there are.
func (k *kanal) stored(t testing.TB) (bytes uint64, streams int) {
	t.Helper()
	js := connect(t, k.nats)
	list := js.ListStreams(within(t, 30*time.Second), jetstream.WithStreamListSubject("kanal.kanal.log.>"))
	for info := range list.Info() {
		bytes += info.State.Bytes
		streams++
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return bytes, streams
}

// fill produces so many records of 10 KB into partition 0, in batches of one.
func fill(t testing.TB, k *kanal, topic string, n int) {
	t.Helper()
	c := k.client(t, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(12<<10), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var all []*kgo.Record
	for range n {
		all = append(all, &kgo.Record{Topic: topic, Value: make([]byte, 10_000)})
	}
	if err := c.ProduceSync(within(t, time.Minute), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func startOffset(t testing.TB, adm *kadm.Client, topic string) int64 {
	t.Helper()
	listed, err := adm.ListStartOffsets(within(t, 30*time.Second), topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	o, _ := listed.Lookup(topic, 0)
	return o.Offset
}

// Topics keep what retention.bytes and retention.ms say; the rest goes, and what is left is read from the new start. Then all of it
// expires, the stream is nearly empty, offsets go on where they were, and the deleted topic leaves nothing.
func TestRetention(t *testing.T) {
	k := startKanal(t)
	k.startRetaining(t)
	c := k.client(t)
	adm := kadm.NewClient(c)
	const n = 600 // of 10 KB
	k.createTopic(t, c, "short", 1, map[string]*string{"retention.bytes": kadm.StringPtr("2000000")})
	k.createTopic(t, c, "long", 1, nil)
	fill(t, k, "long", 100)
	fill(t, k, "short", n)
	var start int64
	process.Poll(t, 30*time.Second, "old records are deleted", func() error {
		if start = startOffset(t, adm, "short"); start < n-300 {
			return fmt.Errorf("the log starts at %d", start)
		}
		return nil
	})
	if start > n-200 {
		t.Errorf("the log starts at %d: less than retention.bytes is left", start)
	}
	if got := startOffset(t, adm, "long"); got != 0 {
		t.Errorf("a topic without a limit starts at %d", got)
	}
	consume(t, k, "short", n-int(start), func(r *kgo.Record, seen int64) error {
		if r.Offset != start+seen {
			return fmt.Errorf("offset %d after %d records", r.Offset, seen)
		}
		return nil
	})
	before, _ := k.stored(t)
	if _, err := adm.AlterTopicConfigs(within(t, 30*time.Second), []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("1")}}, "short"); err != nil {
		t.Fatal(err)
	}
	process.Poll(t, 30*time.Second, "all records are deleted", func() error {
		if got := startOffset(t, adm, "short"); got != n {
			return fmt.Errorf("the log starts at %d", got)
		}
		return nil
	})
	fill(t, k, "short", 1)
	if got := startOffset(t, adm, "short"); got != n && got != n+1 {
		t.Errorf("a record more, and the log starts at %d", got)
	}
	process.Poll(t, 100*time.Second, "the space is given back", func() error { // a minute after the checkpoint
		if now, _ := k.stored(t); now+1_500_000 > before {
			return fmt.Errorf("%d bytes, %d before", now, before)
		}
		return nil
	})
	for _, topic := range []string{"short", "long"} {
		if _, err := adm.DeleteTopic(within(t, 30*time.Second), topic); err != nil {
			t.Fatal(err)
		}
	}
	process.Poll(t, 30*time.Second, "the topics' streams are gone", func() error {
		if bytes, streams := k.stored(t); bytes+uint64(streams) > 0 {
			return fmt.Errorf("%d streams of %d bytes", streams, bytes)
		}
		return nil
	})
}

// DeleteRecords holds for who reads next, through other instances and after a restart.
func TestDeleteRecords(t *testing.T) {
	k := startKanal(t)
	first := k.startRetaining(t)
	c := k.client(t)
	adm := kadm.NewClient(c)
	k.createTopic(t, c, "deleted", 1, nil)
	fill(t, k, "deleted", 20)
	ask := func(at int64) (int64, error) {
		os := kadm.Offsets{}
		os.Add(kadm.Offset{Topic: "deleted", At: at, LeaderEpoch: -1})
		got, err := adm.DeleteRecords(within(t, 30*time.Second), os)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := got.Lookup("deleted", 0)
		return r.LowWatermark, r.Err
	}
	if low, err := ask(7); low != 7 || err != nil {
		t.Errorf("before 7: %d, %v", low, err)
	}
	if _, err := ask(21); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("before 21 of 20: %v", err)
	}
	second := k.startRetaining(t)
	first.end()
	if got := startOffset(t, adm, "deleted"); got != 7 {
		t.Errorf("another instance starts at %d", got)
	}
	consume(t, k, "deleted", 13, func(r *kgo.Record, seen int64) error {
		if r.Offset != 7+seen {
			return fmt.Errorf("offset %d after %d records", r.Offset, seen)
		}
		return nil
	})
	if low, err := ask(-1); low != 20 || err != nil {
		t.Errorf("all: %d, %v", low, err)
	}
	second.end()
	k.startRetaining(t)
	if got := startOffset(t, adm, "deleted"); got != 20 {
		t.Errorf("after a restart the log starts at %d", got)
	}
}
