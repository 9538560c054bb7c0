package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

// configEntry is one config with the values behind it, strongest first.
type configEntry struct {
	name     string
	kind     cluster.ConfigType
	readOnly bool
	doc      string
	values   []configValue
}

type configValue struct {
	name, value string
	source      kmsg.ConfigSource
}

func (e *configEntry) response(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	holds := &e.values[0]
	c.Name, c.Value, c.ReadOnly, c.Source = e.name, &holds.value, e.readOnly, holds.source
	c.IsDefault = holds.source == kmsg.ConfigSourceDefaultConfig
	c.ConfigType = kmsg.ConfigType(e.kind)
	c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if req.IncludeDocumentation {
		c.Documentation = &e.doc
	}
	if !req.IncludeSynonyms {
		return c
	}
	for i := range e.values {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Value, s.Source = e.values[i].name, &e.values[i].value, e.values[i].source
		c.ConfigSynonyms = append(c.ConfigSynonyms, s)
	}
	return c
}

// effective is the value that holds: NATS may carry less than a topic asks for,
// when its max_payload is small or was lowered.
func (s *Settings) effective(name, value string) string {
	if n, err := strconv.Atoi(value); name == "max.message.bytes" && err == nil && n > s.MaxMessageBytes {
		return strconv.Itoa(s.MaxMessageBytes)
	}
	return value
}

func topicConfigEntry(t *cluster.Topic, d *cluster.ConfigDef, s *Settings) configEntry {
	e := configEntry{name: d.Name, kind: d.Type, readOnly: d.ReadOnly, doc: d.Doc}
	if v, set := t.Configs[d.Name]; set {
		e.values = append(e.values, configValue{d.Name, s.effective(d.Name, v), kmsg.ConfigSourceDynamicTopicConfig})
	}
	if d.Name == cluster.ConfigLogs { // its default depends on the topic
		if len(e.values) == 0 {
			e.values = append(e.values, configValue{d.Name, t.Config(d.Name), kmsg.ConfigSourceDefaultConfig})
		}
		return e
	}
	synonym := d.Synonym
	if synonym == "" {
		synonym = d.Name
	}
	e.values = append(e.values, configValue{synonym, s.effective(d.Name, d.Default), kmsg.ConfigSourceDefaultConfig})
	return e
}

// brokerEntries describes a broker: what this service was started with, and the
// defaults of topics under their names as broker configs. All brokers are the
// same but for the id.
func brokerEntries(id int32, s *Settings, info cluster.Info) []configEntry {
	static := func(name string, kind cluster.ConfigType, value, fallback, doc string) configEntry {
		e := configEntry{name: name, kind: kind, readOnly: true, doc: doc}
		if value != fallback {
			e.values = append(e.values, configValue{name, value, kmsg.ConfigSourceStaticBrokerConfig})
		}
		e.values = append(e.values, configValue{name, fallback, kmsg.ConfigSourceDefaultConfig})
		return e
	}
	out := []configEntry{
		static("auto.create.topics.enable", cluster.ConfigBoolean, strconv.FormatBool(s.AutoCreateTopics), "true", "Make topics that are asked for (KANAL_AUTO_CREATE_TOPICS)."),
		static("broker.id", cluster.ConfigInt, itoa(id), "-1", "Number of the broker."),
		static("default.replication.factor", cluster.ConfigInt, itoa(s.DefaultReplicationFactor), "1", "Replication factor of topics that do not ask for one (KANAL_DEFAULT_REPLICATION_FACTOR)."),
		static("node.id", cluster.ConfigInt, itoa(id), "-1", "Number of the broker."),
		static("num.partitions", cluster.ConfigInt, itoa(s.NumPartitions), "1", "Partitions of topics that do not ask for a number (KANAL_NUM_PARTITIONS)."),
		static("offsets.topic.num.partitions", cluster.ConfigInt, itoa(info.CoordinationLogs), "8", "Coordination logs, fixed when the cluster was created."),
	}
	for i := range cluster.TopicConfigs {
		d := &cluster.TopicConfigs[i]
		if d.Synonym != "" {
			out = append(out, configEntry{name: d.Synonym, kind: d.Type, readOnly: true, doc: d.Doc,
				values: []configValue{{d.Synonym, s.effective(d.Name, d.Default), kmsg.ConfigSourceDefaultConfig}}})
		}
	}
	return out
}
