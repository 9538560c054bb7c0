package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestTopicConfigTable(t *testing.T) {
	if !slices.IsSortedFunc(TopicConfigs, func(a, b ConfigDef) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("table is not sorted by name, which lookups rely on")
	}
	for _, d := range TopicConfigs {
		if err := d.Check(d.Default); err != nil {
			t.Errorf("default: %v", err)
		}
		if d.Doc == "" || d.Type.String() == "UNKNOWN" {
			t.Errorf("%s: no documentation or type", d.Name)
		}
		if got := TopicConfig(d.Name); got == nil || got.Name != d.Name {
			t.Errorf("%s is not found", d.Name)
		}
	}
	if TopicConfig("nonsense") != nil {
		t.Error("found nonsense")
	}
}

func TestConfigValues(t *testing.T) {
	for name, values := range map[string]struct{ good, bad []string }{
		"cleanup.policy":            {[]string{"delete"}, []string{"", "remove", "delete,", "compact", "compact,delete", "delete, compact"}},
		"retention.ms":              {[]string{"-1", "0", "9223372036854775807"}, []string{"-2", "", "1.5", "x", "9223372036854775808"}},
		"max.message.bytes":         {[]string{"0", "2147483647"}, []string{"-1", "2147483648"}},
		"min.cleanable.dirty.ratio": {[]string{"0", "0.25", "1"}, []string{"1.1", "-0.1", "NaN", "half"}},
		"message.timestamp.type":    {[]string{"CreateTime", "LogAppendTime"}, []string{"createtime", ""}},
		"preallocate":               {[]string{"true", "false"}, []string{"yes", ""}},
		ConfigLogs:                  {[]string{"1", "100"}, []string{"0", "-1"}},
	} {
		d := TopicConfig(name)
		for _, v := range values.good {
			if err := d.Check(v); err != nil {
				t.Error(err)
			}
		}
		for _, v := range values.bad {
			if d.Check(v) == nil {
				t.Errorf("%s = %q passed", name, v)
			}
		}
	}
}

func TestTopicsConfig(t *testing.T) {
	topic := &Topic{Name: "x", Partitions: 3, Logs: 3, Configs: map[string]string{"retention.ms": "5", "max.message.bytes": "broken"}}
	for name, want := range map[string]string{"retention.ms": "5", "segment.ms": "604800000", ConfigLogs: "3", "nonsense": ""} {
		if got := topic.Config(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := topic.ConfigInt("retention.ms"); got != 5 {
		t.Errorf("retention.ms is %d", got)
	}
	if got := topic.ConfigInt("max.message.bytes"); got != 1048588 {
		t.Errorf("a broken number is %d, want the default", got)
	}
}
