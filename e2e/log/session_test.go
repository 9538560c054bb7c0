package log_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz-go keeps sessions by itself: a consumer reads everything once, in order, while records services come and go and sessions are
// lost with them.
func TestFetchSessionsOfAConsumer(t *testing.T) {
	k := startKanal(t)
	first := k.startRecords(t)
	c := k.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	k.createTopic(t, c, "sessions", 12, nil)
	reader := k.client(t, kgo.ConsumeTopics("sessions"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	seen := map[int32]int64{}
	for round := range 6 {
		for p := range int32(12) {
			if (int(p)+round)%3 == 0 {
				if err := c.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: "sessions", Partition: p, Value: fmt.Append(nil, seen[p])}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for got := 0; got < 4; {
			fs := reader.PollFetches(within(t, 30*time.Second))
			if err := fs.Err(); err != nil {
				t.Fatal(err)
			}
			fs.EachRecord(func(r *kgo.Record) {
				if string(r.Value) != fmt.Sprint(seen[r.Partition]) || r.Offset != seen[r.Partition] {
					t.Fatalf("partition %d, offset %d: %s, want %d", r.Partition, r.Offset, r.Value, seen[r.Partition])
				}
				seen[r.Partition]++
				got++
			})
		}
		if round == 3 {
			k.startRecords(t)
			first.end()
		}
	}
}

// A session is the instance's: another one says that it does not know it, and the answer after a full request has everything again.
func TestFetchSessionIsLostWithItsInstance(t *testing.T) {
	k := startKanal(t)
	first := k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "lost", 1, nil)
	if err := c.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: "lost", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	broker, id := c.Broker(int(leader(t, c, "lost"))), topicID(t, c, "lost")
	fetch := func(session, epoch int32, name bool) *kmsg.FetchResponse {
		q := kmsg.NewPtrFetchRequest()
		q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.SessionID, q.SessionEpoch = 10, 1, 1<<20, session, epoch
		if name {
			topic, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
			topic.Topic, topic.TopicID, p.PartitionMaxBytes = "lost", id, 1<<20
			topic.Partitions = append(topic.Partitions, p)
			q.Topics = append(q.Topics, topic)
		}
		resp, err := q.RequestWith(within(t, 30*time.Second), broker)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	full := fetch(0, 0, true)
	if full.SessionID == 0 || len(full.Topics) != 1 {
		t.Fatalf("a full fetch: %+v", full)
	}
	again := fetch(full.SessionID, 1, false)
	if again.ErrorCode != 0 || again.SessionID != full.SessionID || len(again.Topics) != 1 || len(again.Topics[0].Partitions[0].RecordBatches) == 0 {
		t.Fatalf("an incremental fetch from the same offset: %+v", again)
	}
	k.startRecords(t)
	first.end()
	if lost := fetch(full.SessionID, 2, false); lost.ErrorCode != kerr.FetchSessionIDNotFound.Code || lost.SessionID != 0 {
		t.Fatalf("at another instance: %+v", lost)
	}
	if renewed := fetch(0, 0, true); renewed.SessionID == 0 || len(renewed.Topics) != 1 {
		t.Fatalf("a new session: %+v", renewed)
	}
}
