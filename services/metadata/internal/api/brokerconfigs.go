package api

import (
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

// brokerConfigs describes a broker; the empty name is the default of all
// brokers, which has what was set.
func (a *API) brokerConfigs(name, frontEnd string) ([]configEntry, error) {
	set := a.reg.BrokerConfigs().Values
	if name == "" {
		return defaultEntries(set), nil
	}
	id, err := a.broker(name)
	if err != nil {
		return nil, err
	}
	entries := brokerEntries(id, &a.settings, a.reg.Info())
	return append(entries, frontEndEntries(set, a.environment(frontEnd))...), nil
}

// broker reads the name of a broker.
func (a *API) broker(name string) (int32, error) {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return 0, refused(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
	}
	if brokers := a.reg.Info().Brokers; id < 1 || int32(id) > brokers {
		return 0, refused(kerr.InvalidRequest, "Unknown broker id "+name+": brokers are 1 to "+itoa(brokers)+".")
	}
	return int32(id), nil
}

// environment is what a front end says that its environment sets: that by which
// the request came knows best what its client can expect. Nil for one that has
// not been heard of yet.
func (a *API) environment(frontEnd string) map[string]string {
	for _, f := range a.brokers.FrontEnds() {
		if f.ID == frontEnd && f.Config != nil {
			return f.Config.Environment
		}
	}
	return nil
}

// brokerEntries describes what this service was started with, and the defaults
// of topics under their names as broker configs. All brokers are the same but
// for the id.
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

// frontEndEntries describes what front ends run with: every config, and of
// single listeners those that were set.
func frontEndEntries(set, environment map[string]string) (out []configEntry) {
	for i := range cluster.BrokerConfigDefs {
		if d := &cluster.BrokerConfigDefs[i]; d.Variable != "" || d.OfListener == "" {
			out = append(out, frontEndEntry(d.Name, d, set, environment))
		}
	}
	both := maps.Clone(environment)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, set)
	for _, key := range slices.Sorted(maps.Keys(both)) {
		if d, listener, err := cluster.BrokerConfig(key); err == nil && listener != "" {
			out = append(out, frontEndEntry(key, d, set, environment))
		}
	}
	return out
}

func frontEndEntry(key string, d *cluster.BrokerConfigDef, set, environment map[string]string) configEntry {
	e := configEntry{name: key, kind: d.Type, readOnly: d.ReadOnly, doc: d.Doc}
	if v, ok := set[key]; ok && !d.ReadOnly {
		e.values = append(e.values, configValue{key, v, kmsg.ConfigSourceDynamicDefaultBrokerConfig})
	}
	if v, ok := environment[key]; ok {
		e.values = append(e.values, configValue{key, v, kmsg.ConfigSourceStaticBrokerConfig})
	}
	if d.Default != "" && key == d.Name {
		e.values = append(e.values, configValue{key, d.Default, kmsg.ConfigSourceDefaultConfig})
	}
	return e
}

// defaultEntries is what was set for all brokers, whatever it is: an entry that
// was written past all checks can be seen here, and deleted.
func defaultEntries(set map[string]string) (out []configEntry) {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		e := configEntry{name: key, kind: cluster.ConfigString, doc: "No such config."}
		if d, _, err := cluster.BrokerConfig(key); err == nil {
			e.kind, e.readOnly, e.doc = d.Type, d.ReadOnly, d.Doc
		}
		e.values = []configValue{{key, set[key], kmsg.ConfigSourceDynamicDefaultBrokerConfig}}
		out = append(out, e)
	}
	return out
}
