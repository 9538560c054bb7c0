package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/protocol"
)

func newTopic(name string) *cluster.Topic {
	return &cluster.Topic{Name: name, ID: cluster.NewID(), Partitions: 4, Logs: 2, ReplicationFactor: 1, StreamReplicas: 1, Created: time.Now()}
}

func TestManyOpenOneCluster(t *testing.T) {
	_, js := connect(t, startNATS(t))
	const n = 8
	infos := make([]cluster.Info, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { infos[i] = openRegistry(t, js, cluster.Config{Brokers: 3}).Info() })
	}
	wg.Wait()
	for _, info := range infos {
		if info != infos[0] || len(info.ClusterID) != 22 || info.Brokers != 3 || info.CoordinationLogs != 8 {
			t.Fatalf("opened different clusters: %+v and %+v", info, infos[0])
		}
	}
}

func TestLastStartedDecidesTheNumberOfBrokers(t *testing.T) {
	_, js := connect(t, startNATS(t))
	first := openRegistry(t, js, cluster.Config{Brokers: 3, CoordinationLogs: 4})
	before := first.Info()
	openRegistry(t, js, cluster.Config{CoordinationLogs: 16}) // says nothing about brokers
	second := openRegistry(t, js, cluster.Config{Brokers: 5, CoordinationLogs: 16})
	want := cluster.Info{ClusterID: before.ClusterID, Brokers: 5, CoordinationLogs: 4, LeaderEpoch: 1}
	if got := second.Info(); got != want {
		t.Errorf("second has %+v, want %+v", got, want)
	}
	eventually(t, "the first to see 5 brokers", func() bool { return first.Info() == want })
}

func TestTopicsAreSeenByAll(t *testing.T) {
	_, js := connect(t, startNATS(t))
	a, b := openRegistry(t, js, cluster.Config{}), openRegistry(t, js, cluster.Config{})
	var changes atomic.Int32
	b.OnChange(func() { changes.Add(1) })
	names := []string{"...", "a..b", ".start", "end.", "plain", "A_b-9"}
	for _, name := range names {
		topic := newTopic(name)
		if err := a.CreateTopic(t.Context(), topic); err != nil {
			t.Fatalf("create %q: %v", name, err)
		}
		if err := b.Wait(testContext(t), topic.Revision); err != nil {
			t.Fatal(err)
		}
		got := b.Topic(name)
		if got == nil || got.ID != topic.ID || b.TopicByID(topic.ID) != got {
			t.Fatalf("topic %q is seen as %+v", name, got)
		}
	}
	if got := len(b.Topics()); got != len(names) {
		t.Errorf("%d topics, want %d", got, len(names))
	}
	if changes.Load() == 0 {
		t.Error("nobody was told of a change")
	}
	c := openRegistry(t, js, cluster.Config{}) // a late one reads what is stored
	if got := len(c.Topics()); got != len(names) {
		t.Errorf("opened later: %d topics, want %d", got, len(names))
	}
}

func TestOneOfManyCreatesATopic(t *testing.T) {
	_, js := connect(t, startNATS(t))
	r := openRegistry(t, js, cluster.Config{})
	for round := range 5 {
		name := fmt.Sprintf("round-%d", round)
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				topic := newTopic(name)
				switch err := r.CreateTopic(t.Context(), topic); {
				case err == nil:
					won.Add(1)
					winner.Store(topic.ID)
				case !errors.Is(err, cluster.ErrTopicExists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d created %s", won.Load(), name)
		}
		eventually(t, "the winner's topic", func() bool { topic := r.Topic(name); return topic != nil && topic.ID == winner.Load() })
	}
}

func TestDeleteMeansExactlyThatTopic(t *testing.T) {
	_, js := connect(t, startNATS(t))
	r := openRegistry(t, js, cluster.Config{})
	old, young := newTopic("x"), newTopic("x")
	if err := r.CreateTopic(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteTopic(t.Context(), "x", old.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitGone(testContext(t), old.ID); err != nil || r.Topic("x") != nil {
		t.Fatalf("still there: %v", err)
	}
	if err := r.CreateTopic(t.Context(), young); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteTopic(t.Context(), "x", old.ID); !errors.Is(err, cluster.ErrUnknownTopic) {
		t.Fatalf("deleted by the id of another: %v", err)
	}
	ids, err := r.TopicIDs(testContext(t))
	if err != nil || len(ids) != 1 || !ids[young.ID] {
		t.Fatalf("stored ids %v, %v", ids, err)
	}
}

func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	_, js := connect(t, startNATS(t))
	r := openRegistry(t, js, cluster.Config{})
	if err := r.CreateTopic(t.Context(), newTopic("x")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := r.UpdateTopic(testContext(t), "x", func(topic *cluster.Topic) error {
				topic.Partitions++
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	eventually(t, "14 partitions", func() bool { topic := r.Topic("x"); return topic != nil && topic.Partitions == 14 })
	refusal := errors.New("no")
	if _, err := r.UpdateTopic(t.Context(), "x", func(*cluster.Topic) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("a refused change: %v", err)
	}
	if _, err := r.UpdateTopic(t.Context(), "y", func(*cluster.Topic) error { return nil }); !errors.Is(err, cluster.ErrUnknownTopic) {
		t.Errorf("a missing topic: %v", err)
	}
}

func TestProducerIDsAreUniqueAcrossProcesses(t *testing.T) {
	_, js := connect(t, startNATS(t))
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var wg sync.WaitGroup
	for range 4 {
		r := openRegistry(t, js, cluster.Config{})
		for range 4 {
			wg.Go(func() {
				for range 700 {
					id, err := r.ProducerID(t.Context())
					mu.Lock()
					if err != nil || id < 0 || seen[id] {
						t.Errorf("producer id %d given again or failed: %v", id, err)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
}

func TestVersionsAreKept(t *testing.T) {
	_, js := connect(t, startNATS(t))
	a, b := openRegistry(t, js, cluster.Config{}), openRegistry(t, js, cluster.Config{})
	want := protocol.Ranges{protocol.Metadata: {Min: 0, Max: 13}, protocol.CreateTopics: {Min: 2, Max: 7}}
	if err := a.SaveVersions(t.Context(), "metadata", want); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the saved versions", func() bool {
		got := b.Versions()["metadata"]
		return len(got) == 2 && got[protocol.Metadata] == want[protocol.Metadata] && got[protocol.CreateTopics] == want[protocol.CreateTopics]
	})
}

// A watch can go silent without an error: here its consumer is deleted behind
// its back. The registry must notice and catch up.
func TestSilentWatchIsReplaced(t *testing.T) {
	_, js := connect(t, startNATS(t))
	r := openRegistry(t, js, cluster.Config{CheckInterval: 100 * time.Millisecond})
	stream, err := js.Stream(t.Context(), "KV_"+cluster.BucketName("test"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if err := r.CreateTopic(t.Context(), newTopic(fmt.Sprint("t", i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "3 topics", func() bool { return len(r.Topics()) == 3 })
}

func TestClusterOutlivesItsProcessesAndServer(t *testing.T) {
	_, js := connect(t, startNATS(t))
	r := openRegistry(t, js, cluster.Config{Brokers: 2})
	info := r.Info()
	r.Close()
	if err := r.Wait(t.Context(), 1<<60); !errors.Is(err, cluster.ErrClosed) {
		t.Errorf("waiting at a closed registry: %v", err)
	}
	if got := openRegistry(t, js, cluster.Config{}).Info(); got != info {
		t.Errorf("opened again as %+v, was %+v", got, info)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := js.KeyValue(ctx, "kanal_nothing"); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Error(err)
	}
}

// A NATS server that stands alone keeps one copy, whatever was asked for.
func TestReplicasWithoutANATSCluster(t *testing.T) {
	s := startNATS(t)
	_, js := connect(t, s)
	openRegistry(t, js, cluster.Config{Replicas: 3})
	startMetadata(t, s, nil)
	c := newClient(t, s, 3)
	created := call[*kmsg.CreateTopicsResponse](t, c, 7, createOf(2, 3, "x")).Topics[0]
	wantCode(t, "replication factor 3", created.ErrorCode, nil)
	if got := call[*kmsg.MetadataResponse](t, c, 12, metadataOf("x")).Topics[0].Partitions[1]; len(got.Replicas) != 3 || got.Replicas[0] != got.Leader {
		t.Errorf("shown as %+v", got)
	}
	wantCode(t, "replication factor 4", call[*kmsg.CreateTopicsResponse](t, c, 7, createOf(2, 4, "y")).Topics[0].ErrorCode, kerr.InvalidReplicationFactor)
}
