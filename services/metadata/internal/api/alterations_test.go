package api

import (
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
)

const (
	set    = kmsg.IncrementalAlterConfigOpSet
	unset  = kmsg.IncrementalAlterConfigOpDelete
	add    = kmsg.IncrementalAlterConfigOpAppend
	remove = kmsg.IncrementalAlterConfigOpSubtract
)

func TestIncremental(t *testing.T) {
	stored := map[string]string{"listeners": "A://h:1,B://h:2", "max.connections": "5"}
	frontEnds := []requestchannel.FrontEnd{{}, {Config: &requestchannel.FrontEndConfig{Environment: map[string]string{"max.connections.per.ip.overrides": "a:1"}}}}
	alt := func(name string, op kmsg.IncrementalAlterConfigOp, value string) alteration {
		return alteration{name, op, &value}
	}
	for name, c := range map[string]struct {
		alterations []alteration
		want        map[string]string // of what is not as it was
		says        string
	}{
		"set":                 {alterations: []alteration{alt("max.connections", set, "6"), alt("new", set, "")}, want: map[string]string{"max.connections": "6", "new": ""}},
		"delete":              {alterations: []alteration{{"max.connections", unset, nil}, {"absent", unset, nil}}, want: map[string]string{"max.connections": "gone"}},
		"append":              {alterations: []alteration{alt("listeners", add, "C://h:3, A://h:1")}, want: map[string]string{"listeners": "B://h:2,C://h:3,A://h:1"}},
		"append to what runs": {alterations: []alteration{alt("max.connections.per.ip.overrides", add, "b:2")}, want: map[string]string{"max.connections.per.ip.overrides": "a:1,b:2"}},
		"subtract":            {alterations: []alteration{alt("listeners", remove, "A://h:1,X://h:9")}, want: map[string]string{"listeners": "B://h:2"}},
		"append to a number":  {alterations: []alteration{alt("max.connections", add, "1")}, says: "append is not allowed"},
		"subtract from it":    {alterations: []alteration{alt("max.connections", remove, "1")}, says: "subtract is not allowed"},
		"null":                {alterations: []alteration{{"max.connections", set, nil}}, says: "Null value"},
		"twice":               {alterations: []alteration{alt("a", set, "1"), {"a", unset, nil}}, says: "duplicate"},
		"nobody's operation":  {alterations: []alteration{alt("a", 7, "1")}, says: "Unknown operation 7"},
		"good and then wrong": {alterations: []alteration{alt("max.connections", set, "6"), {"a", set, nil}}, says: "Null value"},
	} {
		before := maps.Clone(stored)
		got, err := incremental(c.alterations)(before, brokerDefaults(frontEnds))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if !maps.Equal(before, stored) {
			t.Errorf("%s: what is stored was changed", name)
		}
		if err != nil {
			continue
		}
		want := maps.Clone(stored)
		maps.Copy(want, c.want)
		maps.DeleteFunc(want, func(_, v string) bool { return v == "gone" })
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestReplacement(t *testing.T) {
	one := "1"
	got, err := replacement([]alteration{{"a", set, &one}})(map[string]string{"b": "2"}, topicDefaults)
	if err != nil || !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Strongest first: what was set, the front end's environment, the default (W1).
func TestFrontEndEntries(t *testing.T) {
	configs := map[string]string{"max.connections": "5", "listener.name.a.max.connections": "6", "queued.max.requests": "9", "nonsense": "1"}
	environment := map[string]string{"max.connections": "7", "listeners": "A://h:1", "listener.name.b.kanal.kind": "frames", "queued.max.requests": "8"}
	for name, want := range map[string][]configValue{
		"max.connections": {{"max.connections", "5", kmsg.ConfigSourceDynamicDefaultBrokerConfig},
			{"max.connections", "7", kmsg.ConfigSourceStaticBrokerConfig}, {"max.connections", "2147483647", kmsg.ConfigSourceDefaultConfig}},
		"listener.name.a.max.connections": {{"listener.name.a.max.connections", "6", kmsg.ConfigSourceDynamicDefaultBrokerConfig}},
		"listener.name.b.kanal.kind":      {{"listener.name.b.kanal.kind", "frames", kmsg.ConfigSourceStaticBrokerConfig}},
		"listeners":                       {{"listeners", "A://h:1", kmsg.ConfigSourceStaticBrokerConfig}},
		"advertised.listeners":            {},
		"max.connections.per.ip":          {{"max.connections.per.ip", "2147483647", kmsg.ConfigSourceDefaultConfig}},
		"queued.max.requests":             {{"queued.max.requests", "8", kmsg.ConfigSourceStaticBrokerConfig}, {"queued.max.requests", "500", kmsg.ConfigSourceDefaultConfig}},
	} {
		found := 0
		for _, e := range frontEndEntries(configs, environment) {
			if e.name == "nonsense" || e.name == "kanal.kind" {
				t.Errorf("described %s", e.name)
			}
			if e.name != name {
				continue
			}
			found++
			if len(e.values) != len(want) {
				t.Errorf("%s: %v, want %v", name, e.values, want)
				continue
			}
			for i := range want {
				if e.values[i] != want[i] {
					t.Errorf("%s: value %d is %v, want %v", name, i, e.values[i], want[i])
				}
			}
		}
		if found != 1 {
			t.Errorf("%s is described %d times", name, found)
		}
	}
}

func TestDefaultEntries(t *testing.T) {
	entries := defaultEntries(map[string]string{"max.connections": "5", "nonsense": "1"})
	if len(entries) != 2 || entries[0].kind != cluster.ConfigInt || entries[1].name != "nonsense" || entries[1].values[0].value != "1" {
		t.Errorf("%+v", entries)
	}
}
