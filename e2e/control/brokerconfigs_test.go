package control

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

func incrementally(kind kmsg.ConfigResourceType, name string, pairs ...string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	for i := 0; i+1 < len(pairs); i += 2 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = pairs[i], &pairs[i+1]
		if pairs[i+1] == "" {
			c.Op, c.Value = kmsg.IncrementalAlterConfigOpDelete, nil
		}
		resource.Configs = append(resource.Configs, c)
	}
	req.Resources = append(req.Resources, resource)
	return req
}

func described(t testing.TB, c *client, kind kmsg.ConfigResourceType, name string) map[string]kmsg.DescribeConfigsResponseResourceConfig {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	req.Resources = append(req.Resources, resource)
	r := call[*kmsg.DescribeConfigsResponse](t, c, 4, req).Resources[0]
	if r.ErrorCode != 0 {
		t.Fatalf("%s: %d", name, r.ErrorCode)
	}
	out := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, e := range r.Configs {
		out[e.Name] = e
	}
	return out
}

const brokers, topic = kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeTopic

// The mechanism of W1: what is altered is stored as a whole, described with its
// sources, and seen by every registry; what is wrong is refused as a whole.
func TestBrokerConfigs(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	_, js := connect(t, s)
	reg := openRegistry(t, js, cluster.Config{})
	alter := func(req *kmsg.IncrementalAlterConfigsRequest) (int16, string) {
		t.Helper()
		r := call[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, req).Resources[0]
		if r.ErrorMessage != nil {
			return r.ErrorCode, *r.ErrorMessage
		}
		return r.ErrorCode, ""
	}
	if code, message := alter(incrementally(brokers, "", "max.connections", "100", "listener.name.a.max.connections", "10")); code != 0 {
		t.Fatal(code, message)
	}
	for _, id := range []string{"1", "3"} {
		got := described(t, c, brokers, id)
		if e := got["max.connections"]; e.Value == nil || *e.Value != "100" || e.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig || e.ReadOnly || len(e.ConfigSynonyms) != 2 || e.Documentation == nil {
			t.Errorf("broker %s: %+v", id, e)
		}
		if e := got["queued.max.requests"]; !e.ReadOnly || *e.Value != "500" || e.Source != kmsg.ConfigSourceDefaultConfig {
			t.Errorf("broker %s: %+v", id, e)
		}
		if e := got["listener.name.a.max.connections"]; e.Value == nil || *e.Value != "10" {
			t.Errorf("broker %s: %+v", id, e)
		}
		if e, ok := got["advertised.listeners"]; !ok || e.Value != nil {
			t.Errorf("broker %s: %+v", id, e)
		}
	}
	if got := described(t, c, brokers, ""); len(got) != 2 || *got["max.connections"].Value != "100" {
		t.Errorf("the default of all brokers: %v", got)
	}
	for name, q := range map[string]struct {
		req  *kmsg.IncrementalAlterConfigsRequest
		code *kerr.Error
		says []string
	}{
		"one good, two bad": {incrementally(brokers, "", "max.connections", "200", "max.connections.per.ip", "-1", "queued.max.requests", "1"), kerr.InvalidConfig, []string{"max.connections.per.ip", "queued.max.requests"}},
		"unknown":           {incrementally(brokers, "", "nonsense", "1"), kerr.InvalidConfig, []string{"nonsense"}},
		"one broker":        {incrementally(brokers, "1", "max.connections", "200"), kerr.InvalidRequest, []string{"--entity-default"}},
		"no broker":         {incrementally(brokers, "4", "max.connections", "200"), kerr.InvalidRequest, []string{"1 to 3"}},
		"no number":         {incrementally(brokers, "one", "max.connections", "200"), kerr.InvalidRequest, []string{"integer"}},
		"a logger":          {incrementally(kmsg.ConfigResourceTypeBrokerLogger, "1", "x", "y"), kerr.InvalidRequest, []string{"BROKER_LOGGER"}},
	} {
		code, message := alter(q.req)
		if code != q.code.Code {
			t.Errorf("%s: code %d, %s", name, code, message)
		}
		for _, says := range q.says {
			if !strings.Contains(message, says) {
				t.Errorf("%s: %q does not say %q", name, message, says)
			}
		}
	}
	twice := incrementally(brokers, "", "max.connections", "200")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	if code, _ := alter(twice); code != kerr.InvalidRequest.Code {
		t.Errorf("a resource twice: %d", code)
	}
	dry := incrementally(brokers, "", "max.connections", "200")
	dry.ValidateOnly = true
	if code, message := alter(dry); code != 0 {
		t.Errorf("validate only: %d, %s", code, message)
	}
	if got := reg.BrokerConfigs().Values; len(got) != 2 || got["max.connections"] != "100" {
		t.Errorf("stored: %v", got)
	}
	if code, message := alter(incrementally(brokers, "", "max.connections", "")); code != 0 {
		t.Errorf("delete: %d, %s", code, message)
	}
	if e := described(t, c, brokers, "1")["max.connections"]; *e.Value != "2147483647" || e.Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("deleted: %+v", e)
	}

	old := kmsg.NewPtrAlterConfigsRequest() // replaces everything
	resource, config := kmsg.NewAlterConfigsRequestResource(), kmsg.NewAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "num.network.threads", kmsg.StringPtr("4")
	resource.ResourceType, resource.Configs = brokers, append(resource.Configs, config)
	old.Resources = append(old.Resources, resource)
	if r := call[*kmsg.AlterConfigsResponse](t, c, 2, old).Resources[0]; r.ErrorCode != 0 {
		t.Errorf("AlterConfigs: %d", r.ErrorCode)
	}
	eventually(t, "the new set is seen elsewhere", func() bool {
		got := reg.BrokerConfigs().Values
		return len(got) == 1 && got["num.network.threads"] == "4"
	})
}

// What somebody wrote past all checks is seen, named, and can be taken away.
func TestBrokerConfigsWrittenByHand(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	_, js := connect(t, s)
	kv, err := js.KeyValue(testContext(t), cluster.BucketName("test"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		if _, err := kv.PutString(testContext(t), "broker-configs", value); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"version":1,"configs":{"nonsense":"1"}}`)
	eventually(t, "it is described", func() bool { return len(described(t, c, brokers, "")) == 1 })
	set := incrementally(brokers, "", "max.connections", "7")
	if r := call[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, set).Resources[0]; r.ErrorCode != kerr.InvalidConfig.Code || !strings.Contains(*r.ErrorMessage, "nonsense") {
		t.Errorf("beside nonsense: %+v", r)
	}
	both := incrementally(brokers, "", "nonsense", "", "max.connections", "7")
	if r := call[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, both).Resources[0]; r.ErrorCode != 0 {
		t.Errorf("in place of nonsense: %+v", r)
	}
	put(`not JSON`)
	if r := call[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, set).Resources[0]; r.ErrorCode == 0 {
		t.Error("what cannot be read was replaced")
	}
	if got := described(t, c, brokers, ""); got["max.connections"].Value == nil || *got["max.connections"].Value != "7" {
		t.Errorf("what cannot be read changed something: %v", got)
	}
}

// Configs of topics change by the same ways.
func TestTopicConfigsChange(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 2, "x")
	alter := func(pairs ...string) *kmsg.IncrementalAlterConfigsResponseResource {
		return &call[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, incrementally(topic, "x", pairs...)).Resources[0]
	}
	if r := alter("retention.ms", "5"); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	for name, pairs := range map[string][]string{"bad value": {"retention.ms", "x"}, "unknown": {"y", "1"}, "fixed": {"kanal.logs", "1"}} {
		if r := alter(pairs...); r.ErrorCode != kerr.InvalidConfig.Code {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if e := described(t, c, topic, "x")["retention.ms"]; *e.Value != "5" || e.Source != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("%+v", e)
	}
	if r := alter("retention.ms", ""); r.ErrorCode != 0 || *described(t, c, topic, "x")["retention.ms"].Value != "604800000" {
		t.Errorf("deleted: %+v", r)
	}
	if r := call[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, incrementally(topic, "absent", "retention.ms", "5")).Resources[0]; r.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("absent: %+v", r)
	}
}
