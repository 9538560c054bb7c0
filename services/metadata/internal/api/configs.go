package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

// configEntry is one config with the values behind it, strongest first; without
// any its value is null.
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
	c.Name, c.ReadOnly, c.Source = e.name, e.readOnly, kmsg.ConfigSourceDefaultConfig
	if len(e.values) > 0 {
		c.Value, c.Source = &e.values[0].value, e.values[0].source
	}
	c.IsDefault = c.Source == kmsg.ConfigSourceDefaultConfig
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
