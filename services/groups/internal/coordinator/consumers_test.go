package coordinator

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log/logtest"
	"kanal/services/groups/internal/assignor"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/group"
)

// oneTopic is a cluster with topic t of twelve partitions.
type oneTopic struct{}

func (oneTopic) Revision() uint64        { return 1 }
func (oneTopic) Names() iter.Seq[string] { return slices.Values([]string{"t"}) }
func (oneTopic) Topic(name string) (assignor.TopicID, int32, bool) {
	return assignor.TopicID{1}, 12, name == "t"
}

// reader is a member of a consumer group that does as it is told at once.
type reader struct {
	id     string
	epoch  int32
	owned  assignor.Assignment
	wanted assignor.Assignment
}

func (r *reader) request() *consumer.Heartbeat {
	return &consumer.Heartbeat{MemberID: r.id, Epoch: r.epoch, Rebalance: time.Minute, Topics: []string{"t"}, Owned: r.owned, HasOwned: true}
}

func (r *reader) beat(t testing.TB, c *Coordinator) *kerr.Error {
	a := c.ConsumerHeartbeat(t.Context(), "g", r.request())
	switch a.Err {
	case nil:
		if r.epoch = a.Epoch; a.Assigned {
			r.owned, r.wanted = r.owned.And(a.Assignment), a.Assignment
		}
		if len(r.owned) == len(r.owned.And(r.wanted)) {
			r.owned = r.wanted
		}
	case kerr.FencedMemberEpoch, kerr.UnknownMemberID:
		*r = reader{id: r.id}
	}
	return a.Err
}

// Two holders serve one group at once, through faults of every kind. No
// partition is ever read by two, and who is told of an epoch keeps it.
func TestTwoHoldersOfAConsumerGroup(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := logtest.NewStream(seed, logtest.Faults{LostRequest: .05, LostAck: .05, Delayed: .05, LostFeed: .3, Behind: .3})
			both := []*Coordinator{open(t, s, nil), open(t, s, nil)}
			r := rand.New(rand.NewPCG(seed, 0))
			var readers []*reader
			for i := range 60 {
				if i%15 == 0 {
					readers = append(readers, &reader{id: fmt.Sprint("m", i)})
				}
				m := readers[r.IntN(len(readers))]
				before := m.epoch
				if e := m.beat(t, both[r.IntN(2)]); e != nil && !e.Retriable {
					t.Fatalf("%s at epoch %d was told %v", m.id, before, e)
				}
				owner := map[assignor.Partition]string{}
				for _, m := range readers {
					for _, p := range m.owned {
						if other := owner[p]; other != "" {
							t.Fatalf("%s and %s both read %v", other, m.id, p)
						}
						owner[p] = m.id
					}
				}
			}
			eventually(t, "a stable group", func() bool {
				for _, m := range readers {
					_ = m.beat(t, both[r.IntN(2)])
				}
				d, e := both[0].DescribeConsumer(t.Context(), "g")
				return e == nil && d.State == consumer.Stable && len(d.Members) == len(readers)
			})
			for _, m := range readers {
				if len(m.owned) != 12/len(readers) {
					t.Errorf("%s has %v", m.id, m.owned)
				}
			}
		})
	}
}

// Who asks at the same time is told what is in the log, and nothing else.
func TestConsumersAtOnce(t *testing.T) {
	s := logtest.NewStream(3, logtest.Faults{LostAck: .1, LostFeed: .3})
	both := []*Coordinator{open(t, s, nil), open(t, s, nil)}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			m := &reader{id: fmt.Sprint("m", i)}
			rng := rand.New(rand.NewPCG(3, uint64(i)))
			for range 40 {
				before := m.epoch
				if e := m.beat(t, both[rng.IntN(2)]); e != nil && !e.Retriable {
					t.Errorf("%s at epoch %d was told %v", m.id, before, e)
				}
			}
		})
	}
	wg.Wait()
}

// Nobody is told what another's step has changed before that is in the log.
func TestAnswersWaitForWhatTheySaw(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	answers := make(chan string, 2)
	c.do(func() {
		for _, q := range []*consumer.Heartbeat{
			{MemberID: "m", Rebalance: time.Minute, Topics: []string{"t"}, HasOwned: true},
			{MemberID: "m", Epoch: 1, Rebalance: -1},
		} {
			c.consumerHeartbeat("g", q, func(a consumer.Answer) { answers <- fmt.Sprint(q.Epoch, a.Epoch, a.Err == nil) })
		}
	})
	if first, second := <-answers, <-answers; first != "0 1 true" || second != "1 1 true" {
		t.Errorf("answered %s, then %s", first, second)
	}
}

// An empty group becomes what the next member speaks; one with members refuses
// those who speak otherwise.
func TestGroupsChangeTheirType(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	c := open(t, s, nil)
	listed := func() Listed {
		t.Helper()
		l, e := c.List(t.Context())
		if e != nil || len(l) != 1 {
			t.Fatalf("%v, %v", l, e)
		}
		return l[0]
	}
	member, _ := become(t, c, "g", time.Minute)
	m := &reader{id: "new"}
	if e := m.beat(t, c); e != kerr.GroupIDNotFound {
		t.Errorf("a consumer joins a classic group: %v", e)
	}
	if e := c.Commit(t.Context(), "g", commitOf(1)); e != kerr.UnknownMemberID {
		t.Errorf("commit without membership: %v", e)
	}
	if e := c.Leave(t.Context(), "g", Leaving{MemberID: member}); e != nil {
		t.Fatal(e)
	}
	if e := c.Commit(t.Context(), "g", commitOf(7)); e != nil {
		t.Fatal(e)
	}
	if e := m.beat(t, c); e != nil || len(m.owned) != 12 {
		t.Fatalf("a consumer joins an empty classic group: %v, %+v", e, m)
	}
	if stored := c.table.Get(groupKey("g")); stored != nil {
		t.Errorf("what is left of the classic group: %s", stored)
	}
	if l := listed(); l != (Listed{"g", "consumer", TypeConsumer, "Stable"}) {
		t.Errorf("listed as %+v", l)
	}
	if _, e := c.Describe(t.Context(), "g"); e != kerr.GroupIDNotFound {
		t.Errorf("described as a classic group: %v", e)
	}
	j := &group.Join{NewID: "member", Session: time.Minute, Rebalance: time.Minute, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}
	if a := c.Join(t.Context(), "g", j, noPark); a.Err != kerr.InconsistentGroupProtocol {
		t.Errorf("a classic member joins a consumer group: %+v", a)
	}
	if e := c.Heartbeat(t.Context(), "g", "new", "", 1); e != kerr.UnknownMemberID {
		t.Errorf("a classic heartbeat: %v", e)
	}
	if e := c.Delete(t.Context(), "g"); e != kerr.NonEmptyGroup {
		t.Errorf("deleted with a member: %v", e)
	}
	if _, each := c.DeleteOffsets(t.Context(), "g", []Partition{{Topic: "t"}}); each[0] != kerr.GroupSubscribedToTopic {
		t.Errorf("offsets of a topic that is read: %v", each)
	}
	young := open(t, s, nil)
	if got := offset(t, young, "g"); got != 7 {
		t.Errorf("the offset is %d", got)
	}
	if _, e := young.OffsetsFor(t.Context(), "g", "new", 0); e != kerr.StaleMemberEpoch {
		t.Errorf("fetch at an old epoch: %v", e)
	}
	if e := m.beat(t, young); e != nil || m.epoch != 1 {
		t.Errorf("at another holder: %v, %+v", e, m)
	}
	commit := commitOf(8)
	commit.MemberID, commit.Generation, commit.Version = "new", 1, 9
	if e := young.Commit(t.Context(), "g", commit); e != nil {
		t.Errorf("a member's commit: %v", e)
	}
	if commit.Generation = 2; young.Commit(t.Context(), "g", commit) != kerr.StaleMemberEpoch {
		t.Error("a commit of another epoch was taken")
	}
	if a := young.ConsumerHeartbeat(t.Context(), "g", &consumer.Heartbeat{MemberID: "new", Epoch: consumer.LeaveEpoch}); a.Err != nil {
		t.Fatal(a)
	}
	if e := m.beat(t, young); e != kerr.UnknownMemberID {
		t.Errorf("who has left: %v", e)
	}
	become(t, young, "g", time.Minute)
	if l := listed(); l != (Listed{"g", "consumer", TypeClassic, "Stable"}) || offset(t, c, "g") != 8 {
		t.Errorf("listed as %+v", l)
	}
	if e := m.beat(t, c); e != kerr.GroupIDNotFound {
		t.Errorf("a consumer joins a classic group: %v", e)
	}
}

func TestConsumerGroupsAreDeleted(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	c := open(t, s, nil)
	m := &reader{id: "m"}
	_ = m.beat(t, c)
	if e := c.Leave(t.Context(), "g", Leaving{MemberID: "m"}); e != nil {
		t.Fatal(e)
	}
	if d, e := c.DescribeConsumer(t.Context(), "g"); e != nil || d.State != consumer.Empty {
		t.Errorf("%+v, %v", d, e)
	}
	if e := c.Delete(t.Context(), "g"); e != nil {
		t.Fatal(e)
	}
	for _, holder := range []*Coordinator{c, open(t, s, nil)} {
		if l, e := holder.List(t.Context()); e != nil || len(l) != 0 {
			t.Errorf("left: %v, %v", l, e)
		}
	}
	if e := c.ConsumerHeartbeat(t.Context(), "g", &consumer.Heartbeat{MemberID: "m", Epoch: 1}); e.Err != kerr.GroupIDNotFound {
		t.Errorf("who was in it: %+v", e)
	}
	bad := "("
	if a := c.ConsumerHeartbeat(t.Context(), "g", &consumer.Heartbeat{MemberID: "m", Regex: &bad}); a.Err != kerr.InvalidRegularExpression {
		t.Errorf("told %+v", a)
	}
	if l, _ := c.List(t.Context()); len(l) != 0 {
		t.Errorf("a refused join left %v", l)
	}
}

// A member that says more than fits is refused, and the group is as before.
func TestConsumerGroupsTooLargeToStore(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	m := &reader{id: "m"}
	_ = m.beat(t, c)
	var many []string
	for i := range 40_000 {
		many = append(many, fmt.Sprintf("topic-%030d", i))
	}
	large := &consumer.Heartbeat{MemberID: "large", Rebalance: time.Minute, Topics: many, HasOwned: true}
	if a := c.ConsumerHeartbeat(t.Context(), "g", large); a.Err != kerr.UnknownServerError {
		t.Errorf("told %v: %s", a.Err, a.Message)
	}
	eventually(t, "the group to be as before", func() bool {
		d, e := c.DescribeConsumer(t.Context(), "g")
		return e == nil && len(d.Members) == 1 && d.Epoch == 1
	})
	if e := m.beat(t, c); e != nil || m.epoch != 1 || len(m.owned) != 12 {
		t.Errorf("the other member: %v, %+v", e, m)
	}
}

// Silent members of a consumer group go, and those of one that nobody could
// reach do not.
func TestConsumerSessions(t *testing.T) {
	clock, now := clock()
	c := open(t, logtest.NewStream(1, logtest.Faults{}), func(cfg *Config) { cfg.Now = now })
	one, two := &reader{id: "one"}, &reader{id: "two"}
	_, _ = one.beat(t, c), two.beat(t, c)
	clock.Add(int64(time.Hour)) // nobody watched
	c.do(c.watch)
	c.do(c.ring)
	if e := one.beat(t, c); e != nil {
		t.Errorf("after our own absence: %v", e)
	}
	for range 44 {
		clock.Add(int64(time.Second))
		c.do(c.watch)
		c.do(c.ring)
	}
	_ = one.beat(t, c)
	for range 2 {
		clock.Add(int64(time.Second))
		c.do(c.watch)
		c.do(c.ring)
	}
	d, e := c.DescribeConsumer(t.Context(), "g")
	if e != nil || len(d.Members) != 1 || d.Members[0].ID != "one" {
		t.Errorf("%+v, %v", d, e)
	}
}
