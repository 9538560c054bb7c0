package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

func TestTopicConfigEntries(t *testing.T) {
	topic := &cluster.Topic{Name: "x", Partitions: 3, Logs: 2, Configs: map[string]string{"retention.ms": "5", "max.message.bytes": "2000000"}}
	for name, want := range map[string][]configValue{
		"retention.ms":      {{"retention.ms", "5", kmsg.ConfigSourceDynamicTopicConfig}, {"log.retention.ms", "604800000", kmsg.ConfigSourceDefaultConfig}},
		"segment.ms":        {{"log.roll.ms", "604800000", kmsg.ConfigSourceDefaultConfig}},
		cluster.ConfigLogs:  {{cluster.ConfigLogs, "2", kmsg.ConfigSourceDefaultConfig}},
		"max.message.bytes": {{"max.message.bytes", "1000000", kmsg.ConfigSourceDynamicTopicConfig}, {"message.max.bytes", "1000000", kmsg.ConfigSourceDefaultConfig}},
	} {
		got := topicConfigEntry(topic, cluster.TopicConfig(name), &Settings{MaxMessageBytes: 1_000_000}).values
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: value %d is %v, want %v", name, i, got[i], want[i])
			}
		}
	}
}

func TestBrokerEntriesHaveEachNameOnce(t *testing.T) {
	seen := make(map[string]bool)
	s := Settings{AutoCreateTopics: false, NumPartitions: 1, DefaultReplicationFactor: 3, MaxMessageBytes: 1 << 20}
	for _, e := range brokerEntries(2, &s, cluster.Info{CoordinationLogs: 8}) {
		if seen[e.name] || len(e.values) == 0 {
			t.Errorf("%s: %v", e.name, e.values)
		}
		seen[e.name] = true
		first := e.values[0]
		switch e.name {
		case "auto.create.topics.enable":
			if first.value != "false" || first.source != kmsg.ConfigSourceStaticBrokerConfig {
				t.Errorf("%s: %v", e.name, first)
			}
		case "num.partitions":
			if first.value != "1" || first.source != kmsg.ConfigSourceDefaultConfig {
				t.Errorf("%s: %v", e.name, first)
			}
		}
	}
	if !seen["message.max.bytes"] || !seen["node.id"] {
		t.Errorf("missing: %v", seen)
	}
}
