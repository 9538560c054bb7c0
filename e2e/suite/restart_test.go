package suite

import (
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// TestRestart stops a standalone between produce and consume: records, topics,
// configs and committed offsets are still there, and offsets go on.
func TestRestart(t *testing.T) {
	s := process.StartStandalone(t, nil)
	on := target{s.Bootstrap, 1, s.Process}
	topic, group := newTopic(t, on, 3, "retention.ms", "99999999"), newName(t)
	produceNumbers(t, on, topic, 0, 3000)
	cl := newClient(t, on)
	adm := kadm.NewClient(cl)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 42, LeaderEpoch: -1})
	if err := adm.CommitAllOffsets(limited(t, 30*time.Second), group, offsets); err != nil {
		t.Fatal(err)
	}
	id := described(t, cl, topic)[topic].TopicID
	end := ends(t, on, topic)

	s.Stop(t)
	s.Start(t)

	on.frontEnd = s.Process
	if now := described(t, cl, topic)[topic].TopicID; now != id || id == [16]byte{} {
		t.Error("the topic has another id")
	}
	if now := ends(t, on, topic); now[0] != end[0] || now[1] != end[1] || now[2] != end[2] {
		t.Errorf("the topic ended at %v and ends at %v", end, now)
	}
	configs, err := adm.DescribeTopicConfigs(limited(t, 30*time.Second), topic)
	if err != nil || configValue(configs, "retention.ms") != "99999999" {
		t.Errorf("retention.ms is %q: %v", configValue(configs, "retention.ms"), err)
	}
	fetched, err := adm.FetchOffsets(limited(t, 30*time.Second), group)
	if o, ok := fetched.Lookup(topic, 1); err != nil || !ok || o.At != 42 {
		t.Errorf("the committed offset is %+v: %v", o, err)
	}
	produceNumbers(t, on, topic, 3000, 3300)
	seen := map[string]bool{}
	for _, r := range consume(t, on, topic, starts(3), 3300) {
		seen[string(r.Value)] = true
		if n, _ := strconv.Atoi(string(r.Value)); (n < 3000) != (r.Offset < end[r.Partition]) {
			t.Errorf("record %d stands at offset %d of partition %d, which ended at %d before the restart", n, r.Offset, r.Partition, end[r.Partition])
		}
	}
	if len(seen) != 3300 {
		t.Errorf("%d different records of 3300", len(seen))
	}
	s.Stop(t)
}

func configValue(configs kadm.ResourceConfigs, key string) string {
	for _, r := range configs {
		for _, c := range r.Configs {
			if c.Key == key {
				return c.MaybeValue()
			}
		}
	}
	return ""
}

// TestNoAutoCreate turns automatic creation off: nobody gets a topic made.
func TestNoAutoCreate(t *testing.T) {
	s := process.StartStandalone(t, process.Env{"KANAL_AUTO_CREATE_TOPICS": "false"})
	on := target{s.Bootstrap, 1, s.Process}
	name := newName(t)
	cl := newClient(t, on, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(name), kgo.UnknownTopicRetries(1))
	if err := cl.ProduceSync(limited(t, 30*time.Second), kgo.StringRecord("v")).FirstErr(); err == nil {
		t.Error("a record was taken for a topic that nobody created")
	}
	if _, ok := described(t, cl)[name]; ok {
		t.Error("the topic is there")
	}
}
