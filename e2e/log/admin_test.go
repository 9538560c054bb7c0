package log_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The sizes of all brokers' log dirs together are those of the topic's partitions, each at the broker that leads it.
func TestDescribeLogDirs(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "sized", 6, nil)
	k.createTopic(t, c, "empty", 1, nil)
	p := k.client(t, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range int32(6) {
		for range i {
			if err := p.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: "sized", Partition: i, Value: make([]byte, 1000)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	leaders := map[int32]int32{}
	details, err := kadm.NewClient(c).ListTopics(within(t, 30*time.Second), "sized")
	if err != nil {
		t.Fatal(err)
	}
	for number, d := range details["sized"].Partitions {
		leaders[number] = d.Leader
	}
	all, err := kadm.NewClient(c).DescribeAllLogDirs(within(t, 30*time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	all.Each(func(d kadm.DescribedLogDir) {
		if d.Err != nil || d.Dir != "jetstream" {
			t.Errorf("broker %d: %+v", d.Broker, d)
		}
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			seen++
			if p.Topic == "empty" && p.Size != 0 {
				t.Errorf("%+v", p)
			}
			if want := int64(p.Partition); p.Topic == "sized" && (p.Size < want*1000 || p.Size > want*1200 || d.Broker != leaders[p.Partition]) {
				t.Errorf("partition %d, led by %d, has %d bytes at broker %d", p.Partition, leaders[p.Partition], p.Size, d.Broker)
			}
		})
	})
	if seen != 7 {
		t.Errorf("%d partitions are described, want 7", seen)
	}
}

func TestDescribeProducers(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "produced", 1, nil)
	id := topicID(t, c, "produced")
	for n := range 3 {
		if code, _, err := sendBatch(c, "produced", id, 0, 1000, int32(n), "x"); code != 0 || err != nil {
			t.Fatal(code, err)
		}
	}
	q := kmsg.NewPtrDescribeProducersRequest()
	q.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "produced", Partitions: []int32{0}}}
	resp, err := q.RequestWith(within(t, 30*time.Second), c)
	if err != nil {
		t.Fatal(err)
	}
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || len(p.ActiveProducers) != 1 || p.ActiveProducers[0].ProducerID != 1000 || p.ActiveProducers[0].LastSequence != 2 {
		t.Errorf("%+v", p)
	}
}

// Every page of DescribeTopicPartitions says what Metadata says.
func TestDescribeTopicPartitions(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "a", 5, nil)
	k.createTopic(t, c, "b", 3, nil)
	details, err := kadm.NewClient(c).ListTopics(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	q := kmsg.NewPtrDescribeTopicPartitionsRequest()
	q.ResponsePartitionLimit = 3
	got := ""
	for pages := 0; pages < 5; pages++ {
		resp, err := q.RequestWith(within(t, 30*time.Second), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				got += fmt.Sprint(*topic.Topic, p.Partition, " ")
				if want := details[*topic.Topic].Partitions[p.Partition]; p.LeaderID != want.Leader || p.LeaderEpoch != want.LeaderEpoch || topic.TopicID != details[*topic.Topic].ID {
					t.Errorf("%s-%d: %+v, want %+v", *topic.Topic, p.Partition, p, want)
				}
			}
		}
		if resp.NextCursor == nil {
			break
		}
		q.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
	}
	if want := "a0 a1 a2 a3 a4 b0 b1 b2 "; got != want {
		t.Errorf("pages have %q, want %q", got, want)
	}
}

// Elections and reassignments change nothing, and say so.
func TestNothingIsElectedOrAssigned(t *testing.T) {
	k := startKanal(t)
	k.startRecords(t)
	c := k.client(t)
	k.createTopic(t, c, "fixed", 1, nil)
	adm := kadm.NewClient(c)
	set := kadm.TopicsSet{}
	set.Add("fixed", 0, 1)
	elected, err := adm.ElectLeaders(within(t, 30*time.Second), kadm.ElectPreferredReplica, set)
	if err != nil || !errors.Is(elected["fixed"][0].Err, kerr.ElectionNotNeeded) || !errors.Is(elected["fixed"][1].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("elections: %+v, %v", elected, err)
	}
	now := leader(t, c, "fixed")
	for _, want := range []struct {
		replica int32
		err     *kerr.Error
	}{{now, nil}, {now%brokers + 1, kerr.InvalidReplicaAssignment}} {
		var q kadm.AlterPartitionAssignmentsReq
		q.Assign("fixed", 0, []int32{want.replica})
		got, err := adm.AlterPartitionAssignments(within(t, 30*time.Second), q)
		if r := got["fixed"][0]; err != nil || want.err == nil && r.Err != nil || want.err != nil && !errors.Is(r.Err, want.err) {
			t.Errorf("to broker %d: %+v, %v", want.replica, r, err)
		}
	}
	if got, err := adm.ListPartitionReassignments(within(t, 30*time.Second), set); err != nil || len(got) != 0 {
		t.Errorf("reassignments %+v, %v", got, err)
	}
	if got := leader(t, c, "fixed"); got != now {
		t.Errorf("the leader went from %d to %d", now, got)
	}
}
