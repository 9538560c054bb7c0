package control

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/service"
	"kanal/services/metadata"
)

var common = service.Common{Cluster: "test", Prefix: "kanal", DrainTimeout: 5 * time.Second}

func startMetadata(t testing.TB, s *server.Server, change func(*metadata.Config)) (stop func()) {
	t.Helper()
	cfg := metadata.Config{
		Common: common, Brokers: 3, AutoCreateTopics: true, NumPartitions: 2, DefaultReplicationFactor: 1,
		Window: 64, JanitorInterval: time.Hour, JanitorAge: time.Hour,
	}
	if change != nil {
		change(&cfg)
	}
	m, err := metadata.New(cfg, deps(s))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, m)
}

func metadataOf(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func createOf(partitions int32, factor int16, names ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 15000
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, factor
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func createTopics(t testing.TB, c *client, partitions int32, names ...string) {
	t.Helper()
	for _, topic := range call[*kmsg.CreateTopicsResponse](t, c, 7, createOf(partitions, 1, names...)).Topics {
		if topic.ErrorCode != 0 {
			t.Fatalf("create %s: %v", topic.Topic, kerr.ErrorForCode(topic.ErrorCode))
		}
	}
}

func wantCode(t testing.TB, what string, got int16, want *kerr.Error) {
	t.Helper()
	if wanted := kerr.TypedErrorForCode(got); wanted != want {
		t.Errorf("%s: got %v, want %v", what, wanted, want)
	}
}

// Every version must be answered and decode again, with a topic that has
// everything in it.
func TestMetadataAnswersEveryVersion(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 5, "orders")
	for v := int16(0); v <= 13; v++ {
		resp := call[*kmsg.MetadataResponse](t, c, v, metadataOf("orders"))
		if resp == nil || len(resp.Brokers) != 3 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 5 {
			t.Fatalf("v%d: %+v", v, resp)
		}
		for i, b := range resp.Brokers {
			if b.NodeID != int32(i)+1 || b.Host != c.id+".example" || b.Port != 9093+int32(i) {
				t.Errorf("v%d: broker %+v", v, b)
			}
		}
		leaders := make(map[int32]int)
		for _, p := range resp.Topics[0].Partitions {
			leaders[p.Leader]++
			if p.ErrorCode != 0 || len(p.Replicas) != 1 || p.Replicas[0] != p.Leader || len(p.ISR) != 1 {
				t.Errorf("v%d: partition %+v", v, p)
			}
		}
		if len(leaders) != 3 { // four logs go round three brokers
			t.Errorf("v%d: leaders %v", v, leaders)
		}
		if v >= 2 && (resp.ClusterID == nil || len(*resp.ClusterID) != 22) {
			t.Errorf("v%d: cluster id %v", v, resp.ClusterID)
		}
		if id := resp.Topics[0].TopicID; v >= 10 && id == [16]byte{} {
			t.Errorf("v%d: no topic id", v)
		}
		if v >= 1 && resp.ControllerID != 1 {
			t.Errorf("v%d: controller %d", v, resp.ControllerID)
		}
	}
}

// Clients get addresses of the listener that they came by (trap 10).
func TestMetadataAnswersByListener(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	resp := call[*kmsg.MetadataResponse](t, c, 9, metadataOf(), options{listener: "OTHER"})
	if b := resp.Brokers[2]; b.Host != "other.example" || b.Port != 19095 {
		t.Errorf("broker 3 at %s:%d", b.Host, b.Port)
	}
}

func TestMetadataOfAllNoneAndByID(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 1, "a", "b", "c")
	all := kmsg.NewPtrMetadataRequest()
	for v := int16(1); v <= 13; v++ {
		all.Topics = nil
		if got := call[*kmsg.MetadataResponse](t, c, v, all); len(got.Topics) != 3 {
			t.Errorf("v%d null: %d topics", v, len(got.Topics))
		}
		if got := call[*kmsg.MetadataResponse](t, c, v, metadataOf()); len(got.Topics) != 0 {
			t.Errorf("v%d empty: %v", v, got.Topics)
		}
	}
	if got := call[*kmsg.MetadataResponse](t, c, 0, metadataOf()); len(got.Topics) != 3 {
		t.Errorf("v0 empty: %d topics, want all", len(got.Topics))
	}
	byName := call[*kmsg.MetadataResponse](t, c, 13, metadataOf("b"))
	byID := metadataOf()
	for _, id := range [][16]byte{byName.Topics[0].TopicID, {9}} {
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		byID.Topics = append(byID.Topics, topic)
	}
	got := call[*kmsg.MetadataResponse](t, c, 13, byID)
	if got.Topics[0].Topic == nil || *got.Topics[0].Topic != "b" {
		t.Errorf("by id: %+v", got.Topics[0])
	}
	wantCode(t, "unknown id", got.Topics[1].ErrorCode, kerr.UnknownTopicID)
	if got.Topics[1].TopicID != [16]byte{9} {
		t.Error("answer about an unknown id does not carry it")
	}
	wantCode(t, "by id at v11", call[*kmsg.MetadataResponse](t, c, 11, byID).Topics[0].ErrorCode, kerr.InvalidRequest)
}

func TestAutoCreate(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	ask := func(version int16, allow bool, name string) kmsg.MetadataResponseTopic {
		req := metadataOf(name)
		req.AllowAutoTopicCreation = allow
		return call[*kmsg.MetadataResponse](t, c, version, req).Topics[0]
	}
	wantCode(t, "not asked for", ask(4, false, "x").ErrorCode, kerr.UnknownTopicOrPartition)
	if got := ask(4, true, "x"); got.ErrorCode != 0 || len(got.Partitions) != 2 {
		t.Errorf("asked for: %+v", got)
	}
	if got := ask(1, false, "y"); got.ErrorCode != 0 || len(got.Partitions) != 2 {
		t.Errorf("before v4: %+v", got)
	}
	for _, name := range []string{"", ".", "..", "a b", "käse", strings.Repeat("x", 250)} {
		wantCode(t, fmt.Sprintf("%q", name), ask(4, true, name).ErrorCode, kerr.InvalidTopicException)
	}
	longest := strings.Repeat("x", 249)
	if got := ask(4, true, longest); got.ErrorCode != 0 {
		t.Errorf("249 characters: %v", kerr.ErrorForCode(got.ErrorCode))
	}
	ask(4, true, "with.dot")
	wantCode(t, "collision", ask(4, true, "with_dot").ErrorCode, kerr.InvalidTopicException)
}

func TestAutoCreateCanBeOff(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, func(c *metadata.Config) { c.AutoCreateTopics = false })
	c := newClient(t, s, 3)
	req := metadataOf("x")
	req.AllowAutoTopicCreation = true
	for _, v := range []int16{0, 4, 13} {
		wantCode(t, "auto create", call[*kmsg.MetadataResponse](t, c, v, req).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	}
}

// Many clients of two instances ask for one topic at once: they all get the
// same, and no stream is left over.
func TestAutoCreateOnceForAll(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	eventually(t, "two instances", func() bool { return len(c.view.Handlers()) == 2 })
	var mu sync.Mutex
	ids := make(map[[16]byte]bool)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			req := metadataOf("popular")
			req.AllowAutoTopicCreation = true
			got := call[*kmsg.MetadataResponse](t, c, 12, req, options{instance: c.view.Handlers()[i%2].ID})
			if got == nil || got.Topics[0].ErrorCode == kerr.LeaderNotAvailable.Code {
				return // this instance has not heard of the other's topic yet
			}
			mu.Lock()
			defer mu.Unlock()
			wantCode(t, "auto create", got.Topics[0].ErrorCode, nil)
			ids[got.Topics[0].TopicID] = true
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("%d topics, want one", len(ids))
	}
	eventually(t, "one topic's streams", func() bool { return len(logStreams(t, s)) == 2 })
}

func logStreams(t testing.TB, s *server.Server) (names []string) {
	t.Helper()
	_, js := connect(t, s)
	for name := range js.StreamNames(t.Context()).Name() {
		if strings.HasPrefix(name, "kanal_test_") {
			names = append(names, name)
		}
	}
	return names
}

func TestCreateTopicsAnswersEveryVersion(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	for v := int16(0); v <= 7; v++ {
		name := fmt.Sprint("v", v)
		req := createOf(3, 2, name)
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = "retention.ms", kmsg.StringPtr("1000")
		req.Topics[0].Configs = append(req.Topics[0].Configs, config)
		got := call[*kmsg.CreateTopicsResponse](t, c, v, req).Topics[0]
		wantCode(t, name, got.ErrorCode, nil)
		if v >= 5 && (got.NumPartitions != 3 || got.ReplicationFactor != 2 || len(got.Configs) < 20) {
			t.Errorf("v%d: %+v", v, got)
		}
		// Known at once, with the leader and one more replica.
		topic := call[*kmsg.MetadataResponse](t, c, 12, metadataOf(name)).Topics[0]
		if topic.ErrorCode != 0 || len(topic.Partitions) != 3 || len(topic.Partitions[0].Replicas) != 2 || v >= 7 && got.TopicID != topic.TopicID {
			t.Errorf("v%d: known as %+v", v, topic)
		}
		again := call[*kmsg.CreateTopicsResponse](t, c, v, req).Topics[0]
		wantCode(t, name+" again", again.ErrorCode, kerr.TopicAlreadyExists)
		if v >= 5 && again.Configs == nil {
			t.Errorf("v%d: null configs, which Java's Admin trips over", v)
		}
	}
}

func TestCreateTopicsValidatesOnly(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	req := createOf(-1, -1, "a", "b", "b", "bad name")
	req.ValidateOnly = true
	got := make(map[string]kmsg.CreateTopicsResponseTopic)
	for _, topic := range call[*kmsg.CreateTopicsResponse](t, c, 7, req).Topics {
		if _, twice := got[topic.Topic]; twice {
			t.Errorf("%s is answered twice", topic.Topic)
		}
		got[topic.Topic] = topic
	}
	wantCode(t, "a", got["a"].ErrorCode, nil)
	if got["a"].NumPartitions != 2 || got["a"].TopicID != [16]byte{} {
		t.Errorf("defaults: %+v", got["a"])
	}
	wantCode(t, "b", got["b"].ErrorCode, kerr.InvalidRequest)
	wantCode(t, "bad name", got["bad name"].ErrorCode, kerr.InvalidTopicException)
	if streams := logStreams(t, s); len(streams) != 0 {
		t.Errorf("made %v", streams)
	}
}

func TestDeleteTopics(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	for v := int16(0); v <= 6; v++ {
		name := fmt.Sprint("v", v)
		createTopics(t, c, 4, name)
		id := call[*kmsg.MetadataResponse](t, c, 12, metadataOf(name)).Topics[0].TopicID
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 15000
		if v < 6 {
			req.TopicNames = []string{name, "missing"}
		} else {
			known, unknown, both := kmsg.NewDeleteTopicsRequestTopic(), kmsg.NewDeleteTopicsRequestTopic(), kmsg.NewDeleteTopicsRequestTopic()
			known.TopicID, unknown.TopicID, both.TopicID = id, [16]byte{1}, id
			both.Topic = &name
			req.Topics = append(req.Topics, known, unknown, both)
		}
		resp := call[*kmsg.DeleteTopicsResponse](t, c, v, req)
		wantCode(t, name, resp.Topics[0].ErrorCode, nil)
		if v < 6 {
			wantCode(t, name+" missing", resp.Topics[1].ErrorCode, kerr.UnknownTopicOrPartition)
		} else {
			wantCode(t, name+" unknown id", resp.Topics[1].ErrorCode, kerr.UnknownTopicID)
			wantCode(t, name+" name and id", resp.Topics[2].ErrorCode, kerr.InvalidRequest)
			if got := resp.Topics[0]; got.Topic == nil || *got.Topic != name || got.TopicID != id {
				t.Errorf("v6 answers about %+v", got)
			}
		}
		wantCode(t, name+" after", call[*kmsg.MetadataResponse](t, c, 12, metadataOf(name)).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
		if streams := logStreams(t, s); len(streams) != 0 {
			t.Errorf("v%d left %v", v, streams)
		}
	}
	// A name can come back, as another topic.
	createTopics(t, c, 1, "v0")
}

func TestCreatePartitions(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 2, "x")
	grow := func(version int16, count int32, validateOnly bool, name string) int16 {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly = 15000, validateOnly
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, count
		req.Topics = append(req.Topics, topic)
		return call[*kmsg.CreatePartitionsResponse](t, c, version, req).Topics[0].ErrorCode
	}
	count := func() int {
		return len(call[*kmsg.MetadataResponse](t, c, 12, metadataOf("x")).Topics[0].Partitions)
	}
	wantCode(t, "validate only", grow(1, 9, true, "x"), nil)
	if got := count(); got != 2 {
		t.Errorf("validating changed it to %d partitions", got)
	}
	for v := int16(0); v <= 3; v++ {
		want := int32(v) + 3
		wantCode(t, "grow", grow(v, want, false, "x"), nil)
		if got := count(); got != int(want) {
			t.Errorf("v%d: %d partitions, want %d", v, got, want)
		}
		wantCode(t, "same", grow(v, want, false, "x"), kerr.InvalidPartitions)
		wantCode(t, "fewer", grow(v, 1, false, "x"), kerr.InvalidPartitions)
		wantCode(t, "missing", grow(v, 5, false, "y"), kerr.UnknownTopicOrPartition)
	}
	if got := logStreams(t, s); len(got) != 2 {
		t.Errorf("logs are fixed at creation, now %v", got)
	}
}

func TestDescribeConfigs(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	req := createOf(1, 1, "x")
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "retention.ms", kmsg.StringPtr("1000")
	req.Topics[0].Configs = append(req.Topics[0].Configs, config)
	call[*kmsg.CreateTopicsResponse](t, c, 7, req)
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.IncludeSynonyms, describe.IncludeDocumentation = true, true
	for _, r := range []struct {
		kind  kmsg.ConfigResourceType
		name  string
		names []string
	}{
		{kmsg.ConfigResourceTypeTopic, "x", nil},
		{kmsg.ConfigResourceTypeTopic, "x", []string{"retention.ms", "nonsense"}},
		{kmsg.ConfigResourceTypeTopic, "missing", nil},
		{kmsg.ConfigResourceTypeBroker, "2", nil},
		{kmsg.ConfigResourceTypeBroker, "7", nil},
		{kmsg.ConfigResourceTypeBroker, "", nil},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", nil},
	} {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = r.kind, r.name, r.names
		describe.Resources = append(describe.Resources, resource)
	}
	for v := int16(0); v <= 4; v++ {
		got := call[*kmsg.DescribeConfigsResponse](t, c, v, describe).Resources
		for i, want := range []*kerr.Error{nil, nil, kerr.UnknownTopicOrPartition, nil, kerr.InvalidRequest, nil, kerr.InvalidRequest} {
			wantCode(t, fmt.Sprintf("v%d resource %d", v, i), got[i].ErrorCode, want)
		}
		if len(got[0].Configs) < 20 || len(got[1].Configs) != 1 || len(got[3].Configs) < 20 || len(got[5].Configs) != 0 {
			t.Fatalf("v%d: %d, %d, %d and %d configs", v, len(got[0].Configs), len(got[1].Configs), len(got[3].Configs), len(got[5].Configs))
		}
		retention := got[1].Configs[0]
		if *retention.Value != "1000" || v == 0 && retention.IsDefault || v >= 1 && retention.Source != kmsg.ConfigSourceDynamicTopicConfig {
			t.Errorf("v%d: %+v", v, retention)
		}
		if v >= 1 && (len(retention.ConfigSynonyms) != 2 || retention.ConfigSynonyms[1].Name != "log.retention.ms") {
			t.Errorf("v%d: synonyms %+v", v, retention.ConfigSynonyms)
		}
		if v >= 3 && (retention.ConfigType != kmsg.ConfigTypeLong || retention.Documentation == nil) {
			t.Errorf("v%d: %+v", v, retention)
		}
	}
}

func TestDescribeCluster(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = 1
		req.IncludeClusterAuthorizedOperations = true
		resp := call[*kmsg.DescribeClusterResponse](t, c, v, req)
		if resp.ErrorCode != 0 || len(resp.Brokers) != 3 || len(resp.ClusterID) != 22 || resp.ControllerID != 1 || resp.ClusterAuthorizedOperations <= 0 {
			t.Errorf("v%d: %+v", v, resp)
		}
		if req.EndpointType = 2; v >= 1 {
			wantCode(t, "controllers", call[*kmsg.DescribeClusterResponse](t, c, v, req).ErrorCode, kerr.MismatchedEndpointType)
		}
	}
}

// The janitor removes what an unfinished creation left, and nothing else.
func TestJanitor(t *testing.T) {
	s := startNATS(t)
	_, js := connect(t, s)
	orphan := newTopic("orphan")
	foreign := "somebody_elses"
	for _, name := range append(orphan.StreamNames("test"), foreign) {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"x." + name}}); err != nil {
			t.Fatal(err)
		}
	}
	startMetadata(t, s, func(c *metadata.Config) { c.JanitorInterval, c.JanitorAge = 20*time.Millisecond, 0 })
	eventually(t, "no orphans", func() bool { return len(logStreams(t, s)) == 0 })
	if _, err := js.Stream(t.Context(), foreign); err != nil {
		t.Errorf("a foreign stream: %v", err)
	}
}
