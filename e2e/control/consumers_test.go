package control

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reader is a member of a consumer group of KIP-848, played by hand.
type reader struct {
	t        testing.TB
	c        *client
	group    string
	id       string
	instance *string
	epoch    int32
	topics   []string
	owned    []kmsg.ConsumerGroupHeartbeatRequestTopic
}

func newReader(t testing.TB, c *client, group, id string, topics ...string) *reader {
	return &reader{t: t, c: c, group: group, id: id, topics: topics, owned: []kmsg.ConsumerGroupHeartbeatRequestTopic{}}
}

func (r *reader) request() *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = r.group, r.id, r.epoch, r.instance
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 60000, r.topics, r.owned
	return req
}

func (r *reader) send(version int16, req *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, *kerr.Error) {
	resp := call[*kmsg.ConsumerGroupHeartbeatResponse](r.t, r.c, version, req)
	return resp, kerr.TypedErrorForCode(resp.ErrorCode)
}

// beat sends a full heartbeat and takes over what it is told.
func (r *reader) beat(version int16) *kerr.Error {
	resp, e := r.send(version, r.request())
	if e != nil {
		return e
	}
	r.id, r.epoch = *resp.MemberID, resp.MemberEpoch
	if resp.Assignment != nil {
		r.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range resp.Assignment.Topics {
			r.owned = append(r.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return nil
}

func (r *reader) partitions() (n int) {
	for _, t := range r.owned {
		n += len(t.Partitions)
	}
	return n
}

func describeConsumers(t testing.TB, c *client, version int16, group string) kmsg.ConsumerGroupDescribeResponseGroup {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
	return call[*kmsg.ConsumerGroupDescribeResponse](t, c, version, req).Groups[0]
}

// settle has readers send heartbeats until their group is stable.
func settle(t testing.TB, c *client, version int16, readers ...*reader) {
	t.Helper()
	eventually(t, "a stable group", func() bool {
		for _, r := range readers {
			if e := r.beat(version); e != nil {
				t.Fatalf("%s: %v", r.id, e)
			}
		}
		return describeConsumers(t, c, 1, readers[0].group).State == "Stable"
	})
}

func TestConsumerGroupOfTwo(t *testing.T) {
	_, c := control(t, "topic")
	for v := int16(0); v <= 1; v++ {
		group := fmt.Sprint("g", v)
		one, two := newReader(t, c, group, "one", "topic"), newReader(t, c, group, "two", "topic")
		if v == 0 {
			one.id, two.id = "", "" // the coordinator gives them
		}
		if e := one.beat(v); e != nil || one.id == "" || one.epoch != 1 || one.partitions() != 3 {
			t.Fatalf("v%d: first: %v, %+v", v, e, one)
		}
		settle(t, c, v, one, two)
		if one.partitions()+two.partitions() != 3 || one.partitions() == 0 || two.partitions() == 0 || one.epoch != 2 || two.epoch != 2 {
			t.Errorf("v%d: %+v and %+v", v, one, two)
		}
		d := describeConsumers(t, c, v, group)
		if d.ErrorCode != 0 || d.Epoch != 2 || d.AssignmentEpoch != 2 || d.AssignorName != "uniform" || len(d.Members) != 2 || d.AuthorizedOperations == -2147483648 {
			t.Fatalf("v%d: described as %+v", v, d)
		}
		m := d.Members[slices.IndexFunc(d.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool { return m.MemberID == one.id })]
		if m.MemberEpoch != 2 || m.ClientID != "test" || m.ClientHost != "/10.1.2.3" || !slices.Equal(m.SubscribedTopics, []string{"topic"}) || v > 0 && m.MemberType != 1 ||
			len(m.Assignment.TopicPartitions) != 1 || m.Assignment.TopicPartitions[0].Topic != "topic" || !slices.Equal(m.Assignment.TopicPartitions[0].Partitions, one.owned[0].Partitions) ||
			len(m.TargetAssignment.TopicPartitions) != 1 {
			t.Errorf("v%d: member described as %+v", v, m)
		}
		leave := two.request()
		if leave.MemberEpoch = -1; call[*kmsg.ConsumerGroupHeartbeatResponse](t, c, v, leave).MemberEpoch != -1 {
			t.Errorf("v%d: leaving", v)
		}
		if settle(t, c, v, one); one.partitions() != 3 {
			t.Errorf("v%d: alone again: %+v", v, one)
		}
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.TypesFilter = []string{"Consumer"}
	if got := listAll(t, c, 5, list); !slices.Equal(got, []string{"g0", "g1"}) {
		t.Errorf("consumer groups: %v", got)
	}
	if list.StatesFilter = []string{"reconciling"}; len(listAll(t, c, 5, list)) != 0 {
		t.Error("a group is still reconciling")
	}
	if list.TypesFilter, list.StatesFilter = []string{"classic"}, nil; len(listAll(t, c, 5, list)) != 0 {
		t.Error("a consumer group is listed as a classic one")
	}
	if d := describeConsumers(t, c, 1, "nobody's"); d.ErrorCode != kerr.GroupIDNotFound.Code || d.ErrorMessage == nil {
		t.Errorf("a group that is not there: %+v", d)
	}
}

func TestConsumerHeartbeatRefusals(t *testing.T) {
	_, c := control(t, "topic")
	one := newReader(t, c, "g", "one", "topic")
	one.instance = kmsg.StringPtr("i")
	settle(t, c, 1, one)
	for what, r := range map[string]struct {
		change func(*kmsg.ConsumerGroupHeartbeatRequest)
		want   *kerr.Error
	}{
		"no group":           {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, kerr.InvalidRequest},
		"no member":          {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, kerr.InvalidRequest},
		"empty instance":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("") }, kerr.InvalidRequest},
		"empty rack":         {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = kmsg.StringPtr("") }, kerr.InvalidRequest},
		"epoch below all":    {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }, kerr.InvalidRequest},
		"join with topics":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 0 }, kerr.InvalidRequest},
		"join for no time":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { join(r).RebalanceTimeoutMillis = -1 }, kerr.InvalidRequest},
		"join for nothing":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { join(r).SubscribedTopicNames = nil }, kerr.InvalidRequest},
		"unknown assignor":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("sticky") }, kerr.UnsupportedAssignor},
		"bad expression":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("(") }, kerr.InvalidRegularExpression},
		"unknown group":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "h" }, kerr.GroupIDNotFound},
		"unknown member":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.InstanceID = "x", nil }, kerr.UnknownMemberID},
		"unknown instance":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("j") }, kerr.UnknownMemberID},
		"epoch to come":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 9 }, kerr.FencedMemberEpoch},
		"instance is taken":  {func(r *kmsg.ConsumerGroupHeartbeatRequest) { join(r).MemberID = "x" }, kerr.UnreleasedInstanceID},
		"another's instance": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "x" }, kerr.FencedInstanceID},
		"leaving for now, and who is it": {func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.MemberID, r.InstanceID, r.MemberEpoch = "x", nil, -2
		}, kerr.UnknownMemberID},
	} {
		req := one.request()
		r.change(req)
		resp, e := one.send(1, req)
		if e != r.want || resp.ErrorMessage == nil {
			t.Errorf("%s: %v, want %v; %v", what, e, r.want, resp.ErrorMessage)
		}
	}
	if one.beat(1) != nil || one.epoch != 1 {
		t.Errorf("refusals changed the group: %+v", one)
	}
}

func join(r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatRequest {
	r.MemberEpoch, r.Topics = 0, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return r
}

// Offsets of a consumer group are committed and fetched at the member's epoch.
func TestOffsetsOfConsumers(t *testing.T) {
	_, c := control(t, "topic")
	r := newReader(t, c, "g", "one", "topic")
	settle(t, c, 1, r)
	m := newConsumer(t, c, "g")
	m.id, m.generation = "one", 1
	for what, a := range map[string]struct {
		generation int32
		version    int16
		want       *kerr.Error
	}{"now": {1, 9, nil}, "stale": {0, 9, kerr.StaleMemberEpoch}, "to come": {2, 9, kerr.StaleMemberEpoch}, "old version": {1, 8, kerr.UnsupportedVersion}} {
		m.generation = a.generation
		if e := m.commit(a.version, "topic", 5); e != a.want {
			t.Errorf("commit, %s: %v, want %v", what, e, a.want)
		}
	}
	if got := offsetsOf(t, c, "g", "topic"); !slices.Equal(got, []int64{5}) {
		t.Errorf("without membership: %v", got)
	}
	for epoch, want := range map[int32]*kerr.Error{1: nil, 0: kerr.StaleMemberEpoch} {
		req, rg := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewOffsetFetchRequestGroup()
		rg.Group, rg.MemberID, rg.MemberEpoch = "g", &r.id, epoch
		req.Groups = append(req.Groups, rg)
		resp := call[*kmsg.OffsetFetchResponse](t, c, 9, req)
		wantCode(t, fmt.Sprint("fetch at epoch ", epoch), resp.Groups[0].ErrorCode, want)
	}
}

// Members of consumer groups notice nothing of a roll: no epoch grows, also in
// the middle of a rebalance.
func TestConsumersOutliveTheirService(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	stop := startGroups(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 3, "topic")
	var stable []*reader
	for i := range 8 {
		r := newReader(t, c, fmt.Sprint("g", i), "one", "topic")
		settle(t, c, 1, r)
		stable = append(stable, r)
	}
	one, two := newReader(t, c, "moving", "one", "topic"), newReader(t, c, "moving", "two", "topic")
	settle(t, c, 1, one)
	if e := two.beat(1); e != nil || two.partitions() != 0 {
		t.Fatalf("%v, %+v", e, two)
	}
	for round := range 4 {
		if round%2 == 0 { // nobody is there meanwhile
			stop()
			stop = startGroups(t, s, nil)
		} else {
			next := startGroups(t, s, nil)
			stop()
			stop = next
		}
		for i, r := range stable {
			req := r.request()
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = -1, nil, nil
			resp, e := r.send(1, req)
			if e != nil || resp.MemberEpoch != 1 || resp.Assignment == nil || len(resp.Assignment.Topics[0].Partitions) != 3 {
				t.Fatalf("round %d, group %d: %v, %+v", round, i, e, resp)
			}
		}
		if round == 1 {
			settle(t, c, 1, one, two)
		}
		for i := range stable {
			if d := describeConsumers(t, c, 1, fmt.Sprint("g", i)); d.Epoch != 1 || d.State != "Stable" {
				t.Fatalf("round %d, group %d: %+v", round, i, d)
			}
		}
	}
	if one.epoch != 2 || two.epoch != 2 || one.partitions()+two.partitions() != 3 {
		t.Errorf("%+v and %+v", one, two)
	}
}

// A topic that grows, one that is made later and one that goes away.
func TestConsumersFollowTopics(t *testing.T) {
	_, c := control(t, "topic")
	r := newReader(t, c, "g", "one", "topic", "later")
	settle(t, c, 1, r)
	createTopics(t, c, 2, "later")
	eventually(t, "the new topic", func() bool { return r.beat(1) == nil && r.partitions() == 5 })
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.TopicNames = []string{"topic"}
	wantCode(t, "delete", call[*kmsg.DeleteTopicsResponse](t, c, 5, deletion).Topics[0].ErrorCode, nil)
	eventually(t, "the topic to be gone", func() bool { return r.beat(1) == nil && r.partitions() == 2 })
	regex := newReader(t, c, "h", "one")
	req := regex.request()
	req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, kmsg.StringPtr("lat.*")
	resp, e := regex.send(1, req)
	if e != nil || resp.Assignment == nil || len(resp.Assignment.Topics) != 1 || len(resp.Assignment.Topics[0].Partitions) != 2 {
		t.Errorf("by a regular expression: %v, %+v", e, resp)
	}
	if resp.HeartbeatIntervalMillis != int32((50 * time.Millisecond).Milliseconds()) {
		t.Errorf("told to come every %d ms", resp.HeartbeatIntervalMillis)
	}
}
