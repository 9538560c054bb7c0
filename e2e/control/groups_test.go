package control

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
	"kanal/services/groups"
)

func startGroups(t testing.TB, s *server.Server, change func(*groups.Config)) (stop func()) {
	t.Helper()
	cfg := groups.Config{
		Common: common, Replicas: 1, MinSessionTimeout: 100 * time.Millisecond, MaxSessionTimeout: 30 * time.Minute,
		OffsetMetadataMaxBytes: 4096, CleanInterval: time.Hour, OffsetsRetention: 7 * 24 * time.Hour, Window: 64,
		ConsumerHeartbeatInterval: 50 * time.Millisecond, ConsumerSessionTimeout: 30 * time.Second, ConsumerAssignors: []string{"uniform", "range"},
	}
	if change != nil {
		change(&cfg)
	}
	g, err := groups.New(cfg, deps(s))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, g)
}

// control starts NATS, one metadata and one groups service, and topics.
func control(t testing.TB, topics ...string) (*server.Server, *client) {
	t.Helper()
	s := startNATS(t)
	startMetadata(t, s, nil)
	startGroups(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 3, topics...)
	return s, c
}

// consumer is a member of a group, played by hand.
type consumer struct {
	t          testing.TB
	c          *client
	group, id  string
	instance   *string
	generation int32
	leader     bool
	members    []string
	session    time.Duration
	options    options
}

func newConsumer(t testing.TB, c *client, group string) *consumer {
	return &consumer{t: t, c: c, group: group, session: 30 * time.Second}
}

func (m *consumer) joinRequest(version int16) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.SetVersion(version)
	req.Group, req.MemberID, req.InstanceID, req.ProtocolType = m.group, m.id, m.instance, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(m.session.Milliseconds()), 20000
	p := kmsg.NewJoinGroupRequestProtocol()
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Topics = []string{"topic"}
	p.Name, p.Metadata = "range", subscription.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	return req
}

// join joins, with the round trip that a new member of v4 makes.
func (m *consumer) join(version int16) *kerr.Error {
	for {
		resp := call[*kmsg.JoinGroupResponse](m.t, m.c, version, m.joinRequest(version), m.options)
		if resp == nil {
			return kerr.UnknownServerError
		}
		e := kerr.TypedErrorForCode(resp.ErrorCode)
		if e == kerr.MemberIDRequired {
			m.id = resp.MemberID
			continue
		}
		if e == nil {
			m.id, m.generation, m.leader, m.members = resp.MemberID, resp.Generation, resp.LeaderID == resp.MemberID, nil
			for _, member := range resp.Members {
				m.members = append(m.members, member.MemberID)
			}
		}
		return e
	}
}

// sync asks for the assignment; a leader gives every member "<generation>:<id>".
func (m *consumer) sync(version int16) (string, *kerr.Error) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.generation
	for _, id := range m.members {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = id, fmt.Appendf(nil, "%d:%s", m.generation, id)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	resp := call[*kmsg.SyncGroupResponse](m.t, m.c, version, req, m.options)
	return string(resp.MemberAssignment), kerr.TypedErrorForCode(resp.ErrorCode)
}

// become joins and syncs until the member is in a stable group.
func (m *consumer) become() {
	m.t.Helper()
	for {
		switch e := m.join(9); e {
		case nil:
		case kerr.UnknownMemberID, kerr.FencedInstanceID:
			m.id = ""
			continue
		default:
			if !e.Retriable && e != kerr.RebalanceInProgress {
				m.t.Errorf("join: %v", e)
				return
			}
			time.Sleep(2 * time.Millisecond)
			continue
		}
		got, e := m.sync(5)
		if e == nil {
			if want := fmt.Sprintf("%d:%s", m.generation, m.id); got != want {
				m.t.Errorf("assigned %q, want %q", got, want)
			}
			return
		}
	}
}

func (m *consumer) heartbeat() *kerr.Error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.generation
	return kerr.TypedErrorForCode(call[*kmsg.HeartbeatResponse](m.t, m.c, 4, req, m.options).ErrorCode)
}

func (m *consumer) leave() *kerr.Error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	return kerr.TypedErrorForCode(call[*kmsg.LeaveGroupResponse](m.t, m.c, 2, req, m.options).ErrorCode)
}

func (m *consumer) commit(version int16, topic string, offsets ...int64) *kerr.Error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.generation
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = topic
	for p, o := range offsets {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = int32(p), o, 3, kmsg.StringPtr("note")
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp := call[*kmsg.OffsetCommitResponse](m.t, m.c, version, req, m.options)
	return kerr.TypedErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// offsets fetches all committed offsets of a topic, by v7 with null topics.
func offsetsOf(t testing.TB, c *client, group, topic string) []int64 {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics = group, nil
	resp := call[*kmsg.OffsetFetchResponse](t, c, 7, req)
	for _, rt := range resp.Topics {
		if rt.Topic == topic {
			var out []int64
			for _, p := range rt.Partitions {
				out = append(out, p.Offset)
			}
			return out
		}
	}
	return nil
}

func TestFindCoordinator(t *testing.T) {
	_, c := control(t)
	brokers := make(map[int32]bool)
	for v := int16(0); v <= 6; v++ {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorKeys = "one", []string{"one", "two", "three", "four", "five", "six"}
		resp := call[*kmsg.FindCoordinatorResponse](t, c, v, req)
		if v < 4 && (resp.ErrorCode != 0 || resp.NodeID < 1 || resp.Host != c.id+".example" || resp.Port != 9092+resp.NodeID) {
			t.Errorf("v%d: %+v", v, resp)
		}
		for _, found := range resp.Coordinators {
			brokers[found.NodeID] = true
			if found.ErrorCode != 0 || found.Port != 9092+found.NodeID {
				t.Errorf("v%d: %+v", v, found)
			}
		}
	}
	if len(brokers) < 2 {
		t.Errorf("all groups at brokers %v", brokers)
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorType = "t", 1
	if resp := call[*kmsg.FindCoordinatorResponse](t, c, 3, req); resp.ErrorCode != 0 || resp.NodeID < 1 {
		t.Errorf("of a transaction: %+v", resp)
	}
	req.CoordinatorType = 2
	wantCode(t, "of a share group", call[*kmsg.FindCoordinatorResponse](t, c, 3, req).ErrorCode, kerr.InvalidRequest)
}

// Kafka's internal topic appears with the first search for a coordinator, as a
// view that nobody can change.
func TestOffsetsTopicIsShown(t *testing.T) {
	_, c := control(t)
	const name = "__consumer_offsets"
	wantCode(t, "before", call[*kmsg.MetadataResponse](t, c, 3, metadataOf(name)).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "g"
	coordinator := call[*kmsg.FindCoordinatorResponse](t, c, 3, find).NodeID
	all := kmsg.NewPtrMetadataRequest()
	all.Topics = nil
	var topic kmsg.MetadataResponseTopic
	eventually(t, "the topic", func() bool {
		topics := call[*kmsg.MetadataResponse](t, c, 12, all).Topics
		if len(topics) == 1 {
			topic = topics[0]
		}
		return len(topics) == 1
	})
	if *topic.Topic != name || !topic.IsInternal || len(topic.Partitions) != 8 {
		t.Errorf("shown as %+v", topic)
	}
	if p := topic.Partitions[cluster.GroupLog("g", 8)]; p.Leader != coordinator {
		t.Errorf("partition led by %d, coordinator is %d", p.Leader, coordinator)
	}
	if again := call[*kmsg.MetadataResponse](t, c, 3, metadataOf(name)).Topics[0]; again.ErrorCode != 0 || !again.IsInternal {
		t.Errorf("by name: %+v", again)
	}
	wantCode(t, "create", call[*kmsg.CreateTopicsResponse](t, c, 7, createOf(1, 1, name)).Topics[0].ErrorCode, kerr.InvalidTopicException)
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.TopicNames = []string{name}
	wantCode(t, "delete", call[*kmsg.DeleteTopicsResponse](t, c, 5, deletion).Topics[0].ErrorCode, kerr.InvalidTopicException)
}

func TestInitProducerID(t *testing.T) {
	_, c := control(t)
	seen := make(map[int64]bool)
	for v := int16(0); v <= 5; v++ {
		req := kmsg.NewPtrInitProducerIDRequest()
		resp := call[*kmsg.InitProducerIDResponse](t, c, v, req)
		if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
			t.Errorf("v%d: %+v", v, resp)
		}
		seen[resp.ProducerID] = true
		req.TransactionalID = kmsg.StringPtr("t")
		if e := kerr.TypedErrorForCode(call[*kmsg.InitProducerIDResponse](t, c, v, req).ErrorCode); e == nil || e.Retriable {
			t.Errorf("v%d: transactional: %v, want a final error", v, e)
		}
	}
}

// Two members, a rebalance, in every version of the four apis together.
func TestGroupOfTwoInEveryVersion(t *testing.T) {
	_, c := control(t)
	for v := int16(0); v <= 9; v++ {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			one, two := newConsumer(t, c, fmt.Sprint("g", v)), newConsumer(t, c, fmt.Sprint("g", v))
			syncVersion := min(v, 5)
			if e := one.join(v); e != nil || !one.leader || len(one.members) != 1 || one.generation != 1 {
				t.Fatalf("first join: %v, %+v", e, one)
			}
			if got, e := one.sync(syncVersion); e != nil || got != "1:"+one.id {
				t.Fatalf("first sync: %q, %v", got, e)
			}
			var joining sync.WaitGroup
			joining.Go(func() {
				if e := two.join(v); e != nil {
					t.Errorf("second join: %v", e)
				}
			})
			eventually(t, "a rebalance", func() bool { return one.heartbeat() == kerr.RebalanceInProgress })
			if e := one.join(v); e != nil {
				t.Fatalf("join again: %v", e)
			}
			joining.Wait()
			if one.generation != 2 || two.generation != 2 || !one.leader || two.leader || len(one.members) != 2 || len(two.members) != 0 {
				t.Fatalf("after the rebalance: %+v and %+v", one, two)
			}
			var syncing sync.WaitGroup
			syncing.Go(func() { // waits for the leader
				if got, e := two.sync(syncVersion); e != nil || got != "2:"+two.id {
					t.Errorf("follower's sync: %q, %v", got, e)
				}
			})
			if got, e := one.sync(syncVersion); e != nil || got != "2:"+one.id {
				t.Errorf("leader's sync: %q, %v", got, e)
			}
			syncing.Wait()
			if e := two.heartbeat(); e != nil {
				t.Errorf("heartbeat: %v", e)
			}
			if e := one.leave(); e != nil {
				t.Errorf("leave: %v", e)
			}
			if e := two.heartbeat(); e != kerr.RebalanceInProgress {
				t.Errorf("heartbeat after the other left: %v", e)
			}
		})
	}
	if c.parked.Load() == 0 {
		t.Error("nothing was ever parked")
	}
}

func TestJoinRefusals(t *testing.T) {
	_, c := control(t)
	ask := func(change func(*kmsg.JoinGroupRequest)) int16 {
		req := newConsumer(t, c, "g").joinRequest(9)
		change(req)
		return call[*kmsg.JoinGroupResponse](t, c, 9, req).ErrorCode
	}
	for what, r := range map[string]struct {
		change func(*kmsg.JoinGroupRequest)
		want   *kerr.Error
	}{
		"no group":          {func(r *kmsg.JoinGroupRequest) { r.Group = "" }, kerr.InvalidGroupID},
		"short session":     {func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 }, kerr.InvalidSessionTimeout},
		"long session":      {func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 << 30 }, kerr.InvalidSessionTimeout},
		"unknown member":    {func(r *kmsg.JoinGroupRequest) { r.MemberID = "x" }, kerr.UnknownMemberID},
		"no protocols":      {func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }, kerr.InconsistentGroupProtocol},
		"no type":           {func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }, kerr.InconsistentGroupProtocol},
		"id to be had once": {func(*kmsg.JoinGroupRequest) {}, kerr.MemberIDRequired},
	} {
		wantCode(t, what, ask(r.change), r.want)
	}
}

func TestOffsetsInEveryVersion(t *testing.T) {
	_, c := control(t, "topic", "other")
	for v := int16(1); v <= 9; v++ {
		m := newConsumer(t, c, "without members")
		m.generation = -1
		if e := m.commit(v, "topic", int64(v), int64(v)+100); e != nil {
			t.Fatalf("commit v%d: %v", v, e)
		}
		if got := offsetsOf(t, c, "without members", "topic"); !slices.Equal(got, []int64{int64(v), int64(v) + 100}) {
			t.Errorf("after commit v%d: %v", v, got)
		}
		checkFetch(t, c, v)
	}
}

// checkFetch fetches in version v what version v committed.
func checkFetch(t *testing.T, c *client, v int16) {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = "without members"
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = "topic", []int32{1, 2}
	req.Topics = append(req.Topics, rt)
	rg, unknown := kmsg.NewOffsetFetchRequestGroup(), kmsg.NewOffsetFetchRequestGroup()
	rg.Group, unknown.Group = req.Group, "unknown"
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = rt.Topic, rt.Partitions
	rg.Topics = append(rg.Topics, gt)
	unknown.Topics = rg.Topics
	req.Groups = append(req.Groups, rg, unknown)
	resp := call[*kmsg.OffsetFetchResponse](t, c, v, req)
	if v < 8 {
		p := resp.Topics[0].Partitions
		if resp.ErrorCode != 0 || p[0].Offset != int64(v)+100 || *p[0].Metadata != "note" || p[1].Offset != -1 || p[1].ErrorCode != 0 || v >= 6 && p[0].LeaderEpoch != 3 {
			t.Errorf("fetch v%d: %+v", v, resp)
		}
		return
	}
	p := resp.Groups[0].Topics[0].Partitions
	if resp.Groups[0].ErrorCode != 0 || p[0].Offset != int64(v)+100 || *p[0].Metadata != "note" || p[0].LeaderEpoch != 3 || p[1].Offset != -1 || p[1].ErrorCode != 0 {
		t.Errorf("fetch v%d: %+v", v, resp.Groups[0])
	}
	if u := resp.Groups[1]; u.ErrorCode != 0 || u.Topics[0].Partitions[0].Offset != -1 || u.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("fetch v%d of an unknown group: %+v", v, u)
	}
}

func TestCommitRefusals(t *testing.T) {
	_, c := control(t, "topic")
	m := newConsumer(t, c, "g")
	m.generation = 1
	if e := m.commit(8, "topic", 1); e != kerr.IllegalGeneration {
		t.Errorf("generation of a group that is not there: %v", e)
	}
	if e := m.commit(9, "topic", 1); e != kerr.GroupIDNotFound {
		t.Errorf("generation of a group that is not there, in v9: %v", e)
	}
	m.become()
	if e := m.commit(8, "missing", 1); e != kerr.UnknownTopicOrPartition {
		t.Errorf("missing topic: %v", e)
	}
	if e := m.commit(8, "topic", 1, 2, 3, 4); e != nil { // the first is fine, the fourth partition is not there
		t.Error(e)
	}
	old := *m
	old.generation--
	if e := old.commit(8, "topic", 1); e != kerr.IllegalGeneration {
		t.Errorf("old generation: %v", e)
	}
	old.id = "stranger"
	if e := old.commit(8, "topic", 1); e != kerr.UnknownMemberID {
		t.Errorf("stranger: %v", e)
	}
	old.id, old.generation = "", -1
	if e := old.commit(8, "topic", 1); e != kerr.UnknownMemberID {
		t.Errorf("without membership, in a group with members: %v", e)
	}
	if got := offsetsOf(t, c, "g", "topic"); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("committed %v", got)
	}
}

// A topic that is made again has nothing committed (and its offsets would be
// another's).
func TestOffsetsGoWithTheirTopic(t *testing.T) {
	_, c := control(t, "topic")
	m := newConsumer(t, c, "g")
	m.generation = -1
	if e := m.commit(8, "topic", 7); e != nil {
		t.Fatal(e)
	}
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.TopicNames, deletion.TimeoutMillis = []string{"topic"}, 10000
	call[*kmsg.DeleteTopicsResponse](t, c, 5, deletion)
	createTopics(t, c, 3, "topic")
	eventually(t, "nothing committed", func() bool { return len(offsetsOf(t, c, "g", "topic")) == 0 })
}

func TestSessionsEnd(t *testing.T) {
	_, c := control(t)
	m := newConsumer(t, c, "g")
	m.session = 300 * time.Millisecond
	m.become()
	other := newConsumer(t, c, "g")
	other.become() // as soon as the silent one is gone
	if e := m.heartbeat(); e != kerr.UnknownMemberID {
		t.Errorf("heartbeat of the silent one: %v", e)
	}
	if other.generation < 2 || !other.leader {
		t.Errorf("the other one: %+v", other)
	}
}

func TestStaticMember(t *testing.T) {
	_, c := control(t)
	instance := "instance"
	m := newConsumer(t, c, "g")
	m.instance = &instance
	m.become()
	back := newConsumer(t, c, "g")
	back.instance = &instance
	if e := back.join(9); e != nil || back.id == m.id || back.generation != m.generation {
		t.Fatalf("came back as %+v: %v", back, e)
	}
	if got, e := back.sync(5); e != nil || got != fmt.Sprintf("1:%s", m.id) { // what the one before had
		t.Errorf("assigned %q, %v", got, e)
	}
	if e := m.heartbeat(); e != kerr.FencedInstanceID {
		t.Errorf("heartbeat of the one before: %v", e)
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "g"
	by, unknown := kmsg.NewLeaveGroupRequestMember(), kmsg.NewLeaveGroupRequestMember()
	by.InstanceID, unknown.MemberID = &instance, "stranger"
	leave.Members = append(leave.Members, by, unknown)
	resp := call[*kmsg.LeaveGroupResponse](t, c, 5, leave)
	if resp.ErrorCode != 0 || resp.Members[0].ErrorCode != 0 || resp.Members[1].ErrorCode != kerr.UnknownMemberID.Code {
		t.Errorf("left: %+v", resp)
	}
}

func TestDescribeListAndDelete(t *testing.T) {
	_, c := control(t, "topic")
	m := newConsumer(t, c, "busy")
	m.become()
	simple := newConsumer(t, c, "simple")
	simple.generation = -1
	if e := simple.commit(8, "topic", 1); e != nil {
		t.Fatal(e)
	}
	for v := int16(0); v <= 6; v++ {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{"busy", "simple", "missing"}, true
		got := call[*kmsg.DescribeGroupsResponse](t, c, v, req).Groups
		if g := got[0]; g.State != "Stable" || g.Protocol != "range" || len(g.Members) != 1 || g.Members[0].ClientHost != "/10.1.2.3" || g.Members[0].ClientID != "test" || len(g.Members[0].ProtocolMetadata) == 0 || string(g.Members[0].MemberAssignment) != "1:"+m.id {
			t.Errorf("v%d busy: %+v", v, g)
		}
		if g := got[1]; g.State != "Empty" || g.ErrorCode != 0 {
			t.Errorf("v%d simple: %+v", v, g)
		}
		want := (*kerr.Error)(nil)
		if v >= 6 {
			want = kerr.GroupIDNotFound
		}
		if wantCode(t, "missing", got[2].ErrorCode, want); got[2].State != "Dead" {
			t.Errorf("v%d missing: %+v", v, got[2])
		}
	}
	for v := int16(0); v <= 5; v++ {
		for filter, want := range map[string][]string{"": {"busy", "simple"}, "stable": {"busy"}, "Empty": {"simple"}, "Dead": nil} {
			req := kmsg.NewPtrListGroupsRequest()
			if filter != "" {
				req.StatesFilter = []string{filter}
			}
			if v < 4 && filter != "" {
				continue
			}
			if got := listAll(t, c, v, req); !slices.Equal(got, want) {
				t.Errorf("v%d, state %q: %v, want %v", v, filter, got, want)
			}
		}
	}
	offsets := kmsg.NewPtrOffsetDeleteRequest()
	offsets.Group = "busy"
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic, rt.Partitions = "topic", []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	offsets.Topics = append(offsets.Topics, rt)
	if resp := call[*kmsg.OffsetDeleteResponse](t, c, 0, offsets); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != kerr.GroupSubscribedToTopic.Code {
		t.Errorf("offsets that are in use: %+v", resp)
	}
	offsets.Group = "simple"
	if resp := call[*kmsg.OffsetDeleteResponse](t, c, 0, offsets); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("offsets that are not in use: %+v", resp)
	}
	if got := offsetsOf(t, c, "simple", "topic"); len(got) != 0 {
		t.Errorf("after their deletion: %v", got)
	}
	offsets.Group = "missing"
	wantCode(t, "offsets of no group", call[*kmsg.OffsetDeleteResponse](t, c, 0, offsets).ErrorCode, kerr.GroupIDNotFound)
	for v := int16(0); v <= 2; v++ {
		_ = simple.commit(8, "topic", 1)
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"busy", "simple", "missing"}
		for i, want := range []*kerr.Error{kerr.NonEmptyGroup, nil, kerr.GroupIDNotFound} {
			got := call[*kmsg.DeleteGroupsResponse](t, c, v, req).Groups[i]
			if i == 1 && v >= 0 { // deleted by the first of the three calls
				if got.ErrorCode != 0 && got.ErrorCode != kerr.GroupIDNotFound.Code {
					t.Errorf("v%d: %+v", v, got)
				}
				continue
			}
			wantCode(t, fmt.Sprintf("v%d %s", v, got.Group), got.ErrorCode, want)
		}
		if got := offsetsOf(t, c, "simple", "topic"); len(got) != 0 {
			t.Errorf("v%d left %v", v, got)
		}
	}
}

// listAll asks all brokers, as clients do.
func listAll(t testing.TB, c *client, version int16, req *kmsg.ListGroupsRequest) (out []string) {
	for broker := int32(1); broker <= 3; broker++ {
		for _, g := range call[*kmsg.ListGroupsResponse](t, c, version, req, options{broker: broker}).Groups {
			out = append(out, g.Group)
		}
	}
	slices.Sort(out)
	return out
}

// Everything that was acknowledged is there after a restart, and members go on
// as if nothing had been.
func TestGroupsOutliveTheirService(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	stop := startGroups(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 3, "topic")
	m := newConsumer(t, c, "g")
	m.become()
	if e := m.commit(8, "topic", 11, 12, 13); e != nil {
		t.Fatal(e)
	}
	stop()
	startGroups(t, s, nil)
	if e := m.heartbeat(); e != nil {
		t.Errorf("heartbeat after a restart: %v", e)
	}
	if got := offsetsOf(t, c, "g", "topic"); !slices.Equal(got, []int64{11, 12, 13}) {
		t.Errorf("offsets after a restart: %v", got)
	}
	if e := m.commit(8, "topic", 21); e != nil {
		t.Errorf("commit after a restart: %v", e)
	}
}

// Brokers move between instances as these come and go; members and offsets
// stay, parked joins are sent on.
func TestGroupsMoveBetweenInstances(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	stop := startGroups(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 3, "topic")
	const n = 12
	var members []*consumer
	for i := range n {
		m := newConsumer(t, c, fmt.Sprint("g", i))
		m.become()
		members = append(members, m)
	}
	for round := range 4 {
		next := startGroups(t, s, nil)
		if round%2 == 1 {
			stop()
			stop = next
		}
		for i, m := range members { // who never see more than a delay
			if e := m.heartbeat(); e != nil {
				t.Fatalf("round %d: heartbeat of member %d: %v", round, i, e)
			}
			if e := m.commit(8, "topic", int64(round)); e != nil {
				t.Fatalf("round %d: commit of member %d: %v", round, i, e)
			}
			if got := offsetsOf(t, c, m.group, "topic"); !slices.Equal(got, []int64{int64(round)}) {
				t.Fatalf("round %d: offsets of member %d: %v", round, i, got)
			}
		}
	}
}

// A join that waits while its group moves to another instance waits on there.
func TestParkedJoinsFollowTheirGroup(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	stop := startGroups(t, s, nil)
	c := newClient(t, s, 3)
	first := newConsumer(t, c, "g")
	first.become()
	before := c.parked.Load()
	joined := make(chan struct{})
	second := newConsumer(t, c, "g")
	go func() {
		defer close(joined)
		second.become()
	}()
	eventually(t, "the join to be parked", func() bool { return c.parked.Load() > before })
	startGroups(t, s, nil)
	stop()
	eventually(t, "the rebalance at the new instance", func() bool { return first.heartbeat() == kerr.RebalanceInProgress })
	first.become()
	<-joined
	if first.generation != second.generation || len(first.members)+len(second.members) != 2 {
		t.Errorf("%+v and %+v", first, second)
	}
}

// Two instances serve one group at the same time, each told that it must. What
// one commits the other does not undo, and refusals are right.
func TestTwoInstancesServeOneGroup(t *testing.T) {
	s := startNATS(t)
	startMetadata(t, s, nil)
	startGroups(t, s, nil)
	startGroups(t, s, nil)
	c := newClient(t, s, 3)
	createTopics(t, c, 3, "topic")
	var ids []string
	eventually(t, "two instances", func() bool {
		ids = nil
		for _, h := range c.view.Handlers() {
			if h.Service == "groups" && h.State == requestchannel.StateReady {
				ids = append(ids, h.ID)
			}
		}
		return len(ids) == 2
	})
	m := newConsumer(t, c, "g")
	m.become() // at the holder
	at := func(i int) *consumer {
		o := *m
		o.options = options{instance: ids[i%2], must: true}
		return &o
	}
	for i := range 20 {
		if e := at(i).commit(8, "topic", int64(i)); e != nil {
			t.Fatalf("commit %d: %v", i, e)
		}
		if got := offsetsOf(t, c, "g", "topic"); !slices.Equal(got, []int64{int64(i)}) {
			t.Fatalf("commit %d is seen as %v", i, got)
		}
		if e := at(i + 1).heartbeat(); e != nil {
			t.Fatalf("heartbeat %d: %v", i, e)
		}
	}
	// Commits of both at once: none is lost.
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for n := range 50 {
				req := kmsg.NewPtrOffsetCommitRequest()
				req.Group, req.MemberID, req.Generation = "g", m.id, m.generation
				rt := kmsg.NewOffsetCommitRequestTopic()
				rp := kmsg.NewOffsetCommitRequestTopicPartition()
				rt.Topic, rp.Partition, rp.Offset = "topic", int32(i), int64(n)
				rt.Partitions = append(rt.Partitions, rp)
				req.Topics = append(req.Topics, rt)
				resp := call[*kmsg.OffsetCommitResponse](t, c, 8, req, options{instance: ids[i], must: true})
				wantCode(t, "commit", resp.Topics[0].Partitions[0].ErrorCode, nil)
			}
		})
	}
	wg.Wait()
	if got := offsetsOf(t, c, "g", "topic"); !slices.Equal(got, []int64{49, 49}) {
		t.Errorf("after commits of both: %v", got)
	}
}

// A parked join of a connection that is gone does not hold up the group.
func TestParkedJoinsEndWithTheirConnection(t *testing.T) {
	_, c := control(t)
	m := newConsumer(t, c, "g")
	m.become()
	gone := newConsumer(t, c, "g")
	ctx, cancel := context.WithCancel(t.Context())
	req := gone.joinRequest(0) // gets no id before its join is over
	before := c.parked.Load()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = c.ask(ctx, req, options{})
	}()
	eventually(t, "the join to be parked", func() bool { return c.parked.Load() > before })
	cancel()
	<-asked
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"g"}
	eventually(t, "only the one that is there", func() bool {
		return len(call[*kmsg.DescribeGroupsResponse](t, c, 5, describe).Groups[0].Members) == 1
	})
	m.become()
	if len(m.members) != 1 {
		t.Errorf("members %v, want only the one that is there", m.members)
	}
}
