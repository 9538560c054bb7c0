package coordinator

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/log/logtest"
	"kanal/services/groups/internal/group"
)

func TestSubscribes(t *testing.T) {
	metadata := consumerOf("a", "b")
	for topic, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if got := subscribes(metadata, topic); got != want {
			t.Errorf("subscribed to %s: %v", topic, got)
		}
	}
	if !subscribes([]byte{1}, "c") {
		t.Error("metadata that cannot be read may mean any topic")
	}
}

func consumerOf(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = topics
	return m.AppendTo(nil)
}

// Offsets expire a retention time after the commit or after the last member
// went, whichever is later, and never while a member reads their topic.
func TestOffsetsExpire(t *testing.T) {
	clock, now := clock()
	s := logtest.NewStream(1, logtest.Faults{})
	set := func(cfg *Config) { cfg.Now, cfg.OffsetsRetention = now, time.Hour }
	c := open(t, s, set)
	commit := func(id string, q *Commit, topics ...string) {
		t.Helper()
		q.Offsets = make(map[Partition]Offset)
		for _, topic := range topics {
			q.Offsets[Partition{Topic: topic}] = Offset{Offset: 7, Committed: now()}
		}
		if e := c.Commit(t.Context(), id, q); e != nil {
			t.Fatal(e)
		}
	}
	kept := func(id string) (topics string) {
		t.Helper()
		offsets, e := c.Offsets(t.Context(), id)
		if e != nil {
			t.Fatal(e)
		}
		for _, topic := range []string{"read", "other"} {
			if _, ok := offsets[Partition{Topic: topic}]; ok {
				topics += topic + " "
			}
		}
		return topics
	}
	at := func(d time.Duration) {
		clock.Store(int64(d))
		c.do(func() { c.clean(now()) })
	}

	commit("simple", &Commit{Generation: -1}, "read", "other")
	a := c.Join(t.Context(), "live", &group.Join{NewID: "m", Session: week, Rebalance: week, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range", Metadata: consumerOf("read")}}}, noPark)
	c.Sync(t.Context(), "live", &group.Sync{MemberID: a.MemberID, Generation: a.Generation}, noPark)
	commit("live", &Commit{MemberID: a.MemberID, Generation: a.Generation}, "read", "other")

	at(59 * time.Minute)
	if got, got2 := kept("simple"), kept("live"); got != "read other " || got2 != "read other " {
		t.Errorf("before retention: %q and %q", got, got2)
	}
	at(61 * time.Minute)
	if got, got2 := kept("simple"), kept("live"); got != "" || got2 != "read " {
		t.Errorf("after retention: simple has %q, live has %q", got, got2)
	}
	if e := c.Leave(t.Context(), "live", Leaving{MemberID: a.MemberID}); e != nil {
		t.Fatal(e)
	}
	c.Close()
	c.stop = make(chan struct{}) // for the cleanup's Close
	c = open(t, s, set)          // who loads the group knows since when it is empty
	at(120 * time.Minute)
	if got := kept("live"); got != "read " {
		t.Errorf("59 minutes after the last member went: %q", got)
	}
	at(122 * time.Minute)
	if got := kept("live"); got != "" {
		t.Errorf("61 minutes after the last member went: %q", got)
	}
}

// What is on its way to the log is not deleted with the offset that it replaces.
func TestExpiryWaitsForCommits(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), func(cfg *Config) { cfg.OffsetsRetention = time.Minute })
	old := commitOf(1)
	for p, o := range old.Offsets {
		o.Committed = time.Now().Add(-time.Hour)
		old.Offsets[p] = o
	}
	if e := c.Commit(t.Context(), "g", old); e != nil {
		t.Fatal(e)
	}
	done := make(chan struct{})
	c.do(func() {
		c.commit(t.Context(), "g", commitOf(2), func(e *kerr.Error) {
			if e != nil {
				t.Error(e)
			}
			close(done)
		})
		c.clean(time.Now())
	})
	<-done
	if got := offset(t, c, "g"); got != 2 {
		t.Errorf("2 was committed and %d is there", got)
	}
}
