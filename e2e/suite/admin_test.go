package suite

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
)

// topics goes through the life of one.
func topics(t *testing.T, on target) {
	ctx := limited(t, time.Minute)
	client := newClient(t, on)
	adm := kadm.NewClient(client)
	name := newTopic(t, on, 2, "retention.ms", "12345678", "cleanup.policy", "delete")

	if _, err := adm.CreateTopic(ctx, 2, 1, nil, name); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
	for _, bad := range []string{"", ".", "..", "a b", "a/b", "ä", strings.Repeat("x", 250)} {
		if _, err := adm.CreateTopic(ctx, 1, 1, nil, bad); !errors.Is(err, kerr.InvalidTopicException) {
			t.Errorf("created with the name %q: %v", bad, err)
		}
	}
	if _, err := adm.CreateTopic(ctx, 0, 1, nil, newName(t)); !errors.Is(err, kerr.InvalidPartitions) {
		t.Errorf("created with no partition: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"no.such.config": kadm.StringPtr("1")}, newName(t)); !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("created with a config that does not exist: %v", err)
	}
	if _, err := adm.ValidateCreateTopics(ctx, 1, 1, nil, name+"-dry"); err != nil {
		t.Errorf("validate: %v", err)
	}
	describeConfigs(t, adm, name)
	listed(t, on, client, name, 2)
	byID(t, client, name)

	if r, err := adm.CreatePartitions(ctx, 3, name); err != nil || r.Error() != nil {
		t.Fatalf("two partitions and three more: %v, %v", err, r.Error())
	}
	waitListed(t, client, on, name, 5)
	listed(t, on, client, name, 5)
	if r, err := adm.UpdatePartitions(ctx, 4, name); err != nil || !errors.Is(r.Error(), kerr.InvalidPartitions) {
		t.Errorf("from five partitions to four: %v, %v", err, r.Error())
	}
	cl := newClient(t, on, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: name, Partition: 4, Value: []byte("new")}).FirstErr(); err != nil {
		t.Errorf("into a new partition: %v", err)
	}
	if r := consume(t, on, name, map[int32]int64{4: 0}, 1); string(r[0].Value) != "new" {
		t.Errorf("the new partition holds %q", r[0].Value)
	}

	if _, err := adm.DeleteTopic(ctx, name); err != nil {
		t.Fatal(err)
	}
	process.Poll(t, 20*time.Second, "the topic is gone", func() error {
		all := described(t, client)
		for _, gone := range []string{name, name + "-dry"} {
			if _, ok := all[gone]; ok {
				return errors.New(gone + " is listed")
			}
		}
		return nil
	})
	if _, err := adm.DeleteTopic(ctx, name); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("deleted twice: %v", err)
	}
}

func describeConfigs(t *testing.T, adm *kadm.Client, name string) {
	t.Helper()
	configs, err := adm.DescribeTopicConfigs(limited(t, 30*time.Second), name)
	if err != nil {
		t.Fatal(err)
	}
	config, err := configs.On(name, nil)
	if err != nil || config.Err != nil {
		t.Fatal(err, config.Err)
	}
	want := map[string]string{"retention.ms": "12345678", "cleanup.policy": "delete", "max.message.bytes": "1048588", "compression.type": "producer"}
	for _, c := range config.Configs {
		w, ok := want[c.Key]
		if ok && c.MaybeValue() != w {
			t.Errorf("%s is %s, not %s", c.Key, c.MaybeValue(), w)
		}
		if own := c.Source == kmsg.ConfigSourceDynamicTopicConfig; ok && own != (c.Key == "retention.ms" || c.Key == "cleanup.policy") {
			t.Errorf("%s comes from %s", c.Key, c.Source)
		}
		delete(want, c.Key)
	}
	if len(want) > 0 {
		t.Errorf("not described: %v", want)
	}
}

func listed(t *testing.T, on target, cl *kgo.Client, name string, partitions int) {
	t.Helper()
	topic, ok := described(t, cl)[name]
	if !ok || len(topic.Partitions) != partitions {
		t.Errorf("%d partitions are listed, not %d", len(topic.Partitions), partitions)
	}
	for _, p := range topic.Partitions {
		if p.Leader < 1 || p.Leader > int32(on.brokers) || p.ErrorCode != 0 || !slices.Contains(p.ISR, p.Leader) || !slices.Contains(p.Replicas, p.Leader) {
			t.Errorf("partition %+v", p)
		}
	}
}

// byID asks for metadata by topic id, known and unknown.
func byID(t *testing.T, cl *kgo.Client, name string) {
	t.Helper()
	id := described(t, cl)[name].TopicID
	req := kmsg.NewPtrMetadataRequest()
	for _, id := range [][16]byte{id, {1, 2, 3}} {
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(limited(t, 30*time.Second), cl)
	if err != nil || len(resp.Topics) != 2 {
		t.Fatalf("metadata by id: %v, %v", resp, err)
	}
	for _, topic := range resp.Topics {
		known := topic.TopicID == id
		if known && (topic.ErrorCode != 0 || topic.Topic == nil || *topic.Topic != name) {
			t.Errorf("by its id the topic is %+v", topic)
		}
		if !known && topic.ErrorCode != kerr.UnknownTopicID.Code {
			t.Errorf("an id that nobody has is %+v", topic)
		}
	}
}

// recreatedTopic deletes a topic and creates it again: nothing of the old one
// is in it.
func recreatedTopic(t *testing.T, on target) {
	ctx := limited(t, time.Minute)
	client := newClient(t, on)
	adm := kadm.NewClient(client)
	name := newTopic(t, on, 1)
	before := described(t, client, name)[name].TopicID
	produceNumbers(t, on, name, 0, 100)
	if _, err := adm.DeleteTopic(ctx, name); err != nil {
		t.Fatal(err)
	}
	process.Poll(t, 20*time.Second, "the topic can be created again", func() error {
		_, err := adm.CreateTopic(ctx, 1, 1, nil, name)
		return err
	})
	process.Poll(t, 20*time.Second, "the new topic is listed", func() error {
		if id := described(t, client, name)[name].TopicID; id == before || id == [16]byte{} {
			return errors.New("it is not there, or the old one is")
		}
		return nil
	})
	waitListed(t, client, on, name, 1)
	produceNumbers(t, on, name, 1000, 1010)
	if got := ends(t, on, name); got[0] != 10 {
		t.Errorf("the new topic ends at %d after ten records", got[0])
	}
	for i, r := range consume(t, on, name, starts(1), 10) {
		if want := numbered(1000, 1010)[i]; string(r.Value) != want {
			t.Errorf("offset %d holds %q, not %s", r.Offset, r.Value, want)
		}
	}
}

// autoCreate wants a topic made only for who asks so.
func autoCreate(t *testing.T, on target) {
	ctx := limited(t, time.Minute)
	name := newName(t)
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	req.Topics = append(req.Topics, topic)
	cl := newClient(t, on)
	for range 2 { // the first must not have made it
		resp, err := req.RequestWith(ctx, cl)
		if err != nil || resp.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Fatalf("not asked to create it: %+v, %v", resp, err)
		}
	}
	producer := newClient(t, on, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(name))
	if err := producer.ProduceSync(ctx, kgo.StringRecord("first")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if r := consume(t, on, name, starts(1), 1); string(r[0].Value) != "first" {
		t.Errorf("the topic holds %q", r[0].Value)
	}
	bad := "not legal!"
	req.Topics[0].Topic, req.AllowAutoTopicCreation = &bad, true
	if resp, err := req.RequestWith(ctx, cl); err != nil || resp.Topics[0].ErrorCode != kerr.InvalidTopicException.Code {
		t.Errorf("asked to create %q: %+v, %v", bad, resp, err)
	}
}
