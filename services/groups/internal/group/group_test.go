package group

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

var epoch = time.Unix(1_700_000_000, 0)

// story drives a group through a scenario and remembers the answers.
type story struct {
	t      *testing.T
	g      *Group
	now    time.Time
	ticket Ticket
	joins  map[Ticket]JoinAnswer
	syncs  map[Ticket]SyncAnswer
	hold   bool // stores are kept back
	stores []Store
	last   Store // asked for
}

func begin(t *testing.T, s Settings) *story {
	if s.NewMemberTimeout == 0 {
		s.NewMemberTimeout = 5 * time.Minute
	}
	return &story{t: t, g: New("g", s), now: epoch, joins: map[Ticket]JoinAnswer{}, syncs: map[Ticket]SyncAnswer{}}
}

// take records an output and stores what it asks to.
func (s *story) take(out Output) {
	s.t.Helper()
	for _, a := range out.Joins {
		if _, twice := s.joins[a.Ticket]; twice || a.Ticket == 0 {
			s.t.Fatalf("join %d answered twice: %+v", a.Ticket, a)
		}
		s.joins[a.Ticket] = a
	}
	for _, a := range out.Syncs {
		if _, twice := s.syncs[a.Ticket]; twice || a.Ticket == 0 {
			s.t.Fatalf("sync %d answered twice: %+v", a.Ticket, a)
		}
		s.syncs[a.Ticket] = a
	}
	if out.Store != nil {
		s.last = *out.Store
		s.stores = append(s.stores, *out.Store)
		if !s.hold {
			s.stored()
		}
	}
}

// stored reports everything kept back as stored.
func (s *story) stored() {
	s.t.Helper()
	kept := s.stores
	s.stores = nil
	for _, st := range kept {
		value, err := st.Snapshot.Encode()
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := Decode(value); err != nil {
			s.t.Fatalf("stored what cannot be read: %v", err)
		}
		s.take(s.g.Stored(s.now, st.Number))
	}
}

func (s *story) pass(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for {
		next := s.g.Next()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(s.now) {
			s.now = next
		}
		s.take(s.g.Tick(s.now))
	}
	s.now = end
}

type joinOption func(*Join)

func static(instance string) joinOption { return func(j *Join) { j.InstanceID = instance } }
func known(j *Join)                     { j.RequireKnownID = true }
func canSkip(j *Join)                   { j.CanSkip = true }
func session(d time.Duration) joinOption {
	return func(j *Join) { j.Session = d }
}
func protocols(names ...string) joinOption {
	return func(j *Join) {
		j.Protocols = nil
		for _, n := range names {
			j.Protocols = append(j.Protocols, Protocol{n, []byte("meta-" + n)})
		}
	}
}
func kind(t string) joinOption { return func(j *Join) { j.ProtocolType = t } }

func (s *story) join(id string, options ...joinOption) Ticket {
	s.t.Helper()
	s.ticket++
	j := &Join{
		Ticket: s.ticket, MemberID: id, NewID: fmt.Sprint("m", s.ticket), ClientID: "c", ClientHost: "/h",
		Session: 10 * time.Second, Rebalance: 60 * time.Second, ProtocolType: "consumer",
		Protocols: []Protocol{{"range", []byte("r")}},
	}
	for _, o := range options {
		o(j)
	}
	s.take(s.g.Join(s.now, j))
	return j.Ticket
}

func (s *story) sync(id string, generation int32, assignment ...string) Ticket {
	s.t.Helper()
	s.ticket++
	a := make(map[string][]byte)
	for i := 0; i+1 < len(assignment); i += 2 {
		a[assignment[i]] = []byte(assignment[i+1])
	}
	s.take(s.g.Sync(s.now, &Sync{Ticket: s.ticket, MemberID: id, Generation: generation, Assignment: a}))
	return s.ticket
}

func (s *story) leave(id, instance string) *kerr.Error {
	s.t.Helper()
	out, e := s.g.Leave(s.now, id, instance)
	s.take(out)
	return e
}

func (s *story) wantJoin(t Ticket, err *kerr.Error, generation int32) JoinAnswer {
	s.t.Helper()
	a, ok := s.joins[t]
	if !ok {
		s.t.Fatalf("join %d is not answered", t)
	}
	if a.Err != err || a.Generation != generation {
		s.t.Fatalf("join %d: %+v, want %v in generation %d", t, a, err, generation)
	}
	return a
}

func (s *story) wantSync(t Ticket, err *kerr.Error, assignment string) {
	s.t.Helper()
	a, ok := s.syncs[t]
	if !ok {
		s.t.Fatalf("sync %d is not answered", t)
	}
	if a.Err != err || string(a.Assignment) != assignment {
		s.t.Fatalf("sync %d: %+v, want %v with %q", t, a, err, assignment)
	}
}

func (s *story) wantParked(t Ticket) {
	s.t.Helper()
	if a, ok := s.joins[t]; ok {
		s.t.Fatalf("join %d should wait, is answered with %+v", t, a)
	}
	if a, ok := s.syncs[t]; ok {
		s.t.Fatalf("sync %d should wait, is answered with %+v", t, a)
	}
}

func (s *story) wantState(state State, generation int32, members int) {
	s.t.Helper()
	if s.g.State() != state || s.g.Generation() != generation || s.g.Members() != members {
		s.t.Fatalf("group is %s in generation %d with %d members, want %s, %d, %d", s.g.State(), s.g.Generation(), s.g.Members(), state, generation, members)
	}
}

func (s *story) heartbeat(id string, generation int32) *kerr.Error {
	return s.g.Heartbeat(s.now, id, "", generation)
}

// pair makes a stable group of two: m1 leads, both in generation 2.
func pair(t *testing.T) *story {
	s := begin(t, Settings{})
	s.join("")          // m1, generation 1
	two := s.join("")   // m2
	one := s.join("m1") // joins again
	s.wantJoin(one, nil, 2)
	s.wantJoin(two, nil, 2)
	follower := s.sync("m2", 2)
	s.wantParked(follower)
	leader := s.sync("m1", 2, "m1", "A", "m2", "B")
	s.wantSync(leader, nil, "A")
	s.wantSync(follower, nil, "B")
	s.wantState(Stable, 2, 2)
	return s
}

func TestTwoMembers(t *testing.T) {
	s := pair(t)
	if e := s.heartbeat("m2", 2); e != nil {
		t.Errorf("heartbeat: %v", e)
	}
	for what, e := range map[string]*kerr.Error{
		"old generation": s.heartbeat("m1", 1), "next generation": s.heartbeat("m1", 3),
	} {
		if e != kerr.IllegalGeneration {
			t.Errorf("%s: %v", what, e)
		}
	}
	if e := s.heartbeat("m9", 2); e != kerr.UnknownMemberID {
		t.Errorf("stranger: %v", e)
	}
	if a := s.joins[3]; a.Leader != "m1" || len(a.Members) != 2 || string(a.Members[0].Metadata) != "r" {
		t.Errorf("the leader was told %+v", a)
	}
	if a := s.joins[2]; a.Leader != "m1" || len(a.Members) != 0 {
		t.Errorf("the follower was told %+v", a)
	}
}

func TestMemberIDRequired(t *testing.T) {
	s := begin(t, Settings{})
	first := s.join("", known)
	id := s.wantJoin(first, kerr.MemberIDRequired, -1).MemberID
	s.wantState(Empty, 0, 0)
	s.wantJoin(s.join(id), nil, 1)
	s.wantState(CompletingRebalance, 1, 1)
	s.wantJoin(s.join("stranger", known), kerr.UnknownMemberID, -1)
}

func TestPendingMembersHoldUpAndExpire(t *testing.T) {
	s := pair(t)
	pending := s.join("", known, session(3*time.Second))
	id := s.wantJoin(pending, kerr.MemberIDRequired, -1).MemberID
	if e := s.heartbeat("m1", 2); e != nil { // given an id, not in the group yet
		t.Errorf("heartbeat: %v", e)
	}
	one, two := s.join("m1", protocols("range", "x")), s.join("m2")
	s.wantParked(one) // the pending one may come
	s.wantParked(two)
	s.pass(3 * time.Second)
	s.wantJoin(one, nil, 3)
	s.wantJoin(two, nil, 3)
	s.wantJoin(s.join(id), kerr.UnknownMemberID, -1)
}

func TestSyncWaitsForTheStore(t *testing.T) {
	s := begin(t, Settings{})
	s.hold = true
	s.wantJoin(s.join(""), nil, 1)
	sync := s.sync("m1", 1, "m1", "A")
	s.wantParked(sync)
	s.wantState(CompletingRebalance, 1, 1)
	again := s.sync("m1", 1, "m1", "B") // impatient
	s.wantSync(sync, kerr.RebalanceInProgress, "")
	s.stored()
	s.wantSync(again, nil, "A") // what was stored, not what came after
	s.wantState(Stable, 1, 1)
}

func TestStoreOfAnOldGenerationChangesNothing(t *testing.T) {
	s := begin(t, Settings{})
	s.hold = true
	s.join("")
	sync := s.sync("m1", 1, "m1", "A")
	newcomer := s.join("")
	s.wantSync(sync, kerr.RebalanceInProgress, "")
	s.stored()
	s.wantState(PreparingRebalance, 1, 2)
	s.wantParked(newcomer)
	s.wantJoin(s.join("m1"), nil, 2)
	s.wantJoin(newcomer, nil, 2)
}

func TestRebalanceDropsWhoDoesNotJoin(t *testing.T) {
	s := pair(t)
	three := s.join("", session(time.Minute))
	if e := s.heartbeat("m1", 2); e != kerr.RebalanceInProgress {
		t.Errorf("heartbeat in a rebalance: %v", e)
	}
	one := s.join("m1", session(5*time.Minute))
	for range 12 { // m2 lives but does not join
		s.pass(5 * time.Second)
		_ = s.heartbeat("m2", 2)
	}
	s.wantJoin(three, nil, 3)
	s.wantJoin(one, nil, 3)
	if e := s.heartbeat("m2", 2); e != kerr.UnknownMemberID {
		t.Errorf("heartbeat of one that was dropped: %v", e)
	}
}

func TestSilenceEndsASession(t *testing.T) {
	s := pair(t)
	for range 3 {
		s.pass(4 * time.Second)
		_ = s.heartbeat("m1", 2)
	}
	s.wantState(PreparingRebalance, 2, 1)
	s.wantJoin(s.join("m1"), nil, 3)
	s.pass(time.Minute)
	s.wantState(Empty, 4, 0)
}

func TestLeaderChangesWhenItLeaves(t *testing.T) {
	s := pair(t)
	if e := s.leave("m1", ""); e != nil {
		t.Fatal(e)
	}
	two := s.join("m2")
	if a := s.wantJoin(two, nil, 3); a.Leader != "m2" || len(a.Members) != 1 {
		t.Errorf("new leader is told %+v", a)
	}
	if e := s.leave("m1", ""); e != kerr.UnknownMemberID {
		t.Errorf("left twice: %v", e)
	}
	if e := s.leave("m2", ""); e != nil {
		t.Fatal(e)
	}
	s.wantState(Empty, 4, 0)
}

func TestLeavingEndsWaiting(t *testing.T) {
	s := pair(t)
	three := s.join("")
	s.wantParked(three)
	if e := s.leave("m3", ""); e != kerr.UnknownMemberID { // ids come from tickets: it is another
		t.Fatal(e)
	}
	id := fmt.Sprint("m", three)
	if e := s.leave(id, ""); e != nil {
		t.Fatal(e)
	}
	s.wantJoin(three, kerr.UnknownMemberID, -1)
	s.wantParked(s.join("m1"))
	s.wantJoin(s.join("m2"), nil, 3)
}

func TestFollowerRejoinsWithoutRebalance(t *testing.T) {
	s := pair(t)
	s.wantJoin(s.join("m2"), nil, 2)
	s.wantState(Stable, 2, 2)
	leader := s.join("m1") // a leader wants partitions assigned anew
	s.wantParked(leader)
	s.wantState(PreparingRebalance, 2, 2)
}

func TestNewSubscriptionRebalances(t *testing.T) {
	s := pair(t)
	two := s.join("m2", protocols("range"))
	s.wantParked(two)
	s.wantState(PreparingRebalance, 2, 2)
}

func TestLostJoinAnswerIsRepeated(t *testing.T) {
	s := begin(t, Settings{})
	s.join("")
	a := s.wantJoin(s.join("m1"), nil, 1)
	if len(a.Members) != 1 {
		t.Errorf("the leader is told %+v", a)
	}
	s.wantState(CompletingRebalance, 1, 1)
}

func TestSyncRefusals(t *testing.T) {
	s := pair(t)
	s.wantSync(s.sync("m1", 1), kerr.IllegalGeneration, "")
	s.wantSync(s.sync("m9", 2), kerr.UnknownMemberID, "")
	s.wantSync(s.sync("m2", 2), nil, "B") // repeated in a stable group
	other := "other"
	s.ticket++
	s.take(s.g.Sync(s.now, &Sync{Ticket: s.ticket, MemberID: "m1", Generation: 2, Type: &other}))
	s.wantSync(s.ticket, kerr.InconsistentGroupProtocol, "")
	s.ticket++
	s.take(s.g.Sync(s.now, &Sync{Ticket: s.ticket, MemberID: "m1", Generation: 2, Protocol: &other}))
	s.wantSync(s.ticket, kerr.InconsistentGroupProtocol, "")
	s.join("")
	s.wantSync(s.sync("m1", 2), kerr.RebalanceInProgress, "")
}

func TestSyncTimeoutDropsWhoNeverAsks(t *testing.T) {
	s := begin(t, Settings{})
	s.join("")
	two := s.join("", session(10*time.Minute))
	s.join("m1", session(10*time.Minute))
	s.wantJoin(two, nil, 2)
	leader := s.sync("m2", 2)
	s.wantParked(leader) // m1 leads and does not sync
	s.pass(61 * time.Second)
	s.wantSync(leader, kerr.RebalanceInProgress, "")
	s.wantState(PreparingRebalance, 2, 1)
	s.wantJoin(s.join("m2"), nil, 3)
}

func TestSyncTimeoutHoldsInAStableGroupToo(t *testing.T) {
	s := begin(t, Settings{})
	s.join("", session(10*time.Minute))
	two := s.join("", session(10*time.Minute), static("two"))
	s.join("m1", session(10*time.Minute))
	s.wantJoin(two, nil, 2)
	s.sync("m1", 2, "m1", "A", "m2", "B")
	s.wantState(Stable, 2, 2) // m2 has not asked for its part
	s.wantJoin(s.join("", static("two"), session(10*time.Minute)), nil, 2)
	s.pass(61 * time.Second)
	s.wantState(PreparingRebalance, 2, 1)
}

func TestWaitingMembersNeedNoHeartbeats(t *testing.T) {
	s := pair(t)
	one := s.join("m1", protocols("range", "x"))
	for range 6 {
		s.pass(5 * time.Second)
		_ = s.heartbeat("m2", 2)
	}
	s.wantParked(one)
	s.wantJoin(s.join("m2"), nil, 3)
	s.wantJoin(one, nil, 3)
}

func TestNewMembersDoNotStayForEver(t *testing.T) {
	s := begin(t, Settings{NewMemberTimeout: 20 * time.Second})
	long := func(j *Join) { j.Rebalance = 10 * time.Minute }
	s.join("", long)
	s.sync("m1", 1, "m1", "A")
	left := s.join("") // its client went away, which nobody noticed
	for range 5 {
		s.pass(5 * time.Second)
		_ = s.heartbeat("m1", 1)
	}
	s.wantJoin(left, kerr.UnknownMemberID, -1)
	s.wantState(PreparingRebalance, 1, 1)
}

func TestProtocols(t *testing.T) {
	s := begin(t, Settings{})
	s.join("", protocols("a", "b", "c"))
	s.wantJoin(s.join("", protocols("d")), kerr.InconsistentGroupProtocol, -1)
	s.wantJoin(s.join("", kind("connect")), kerr.InconsistentGroupProtocol, -1)
	s.wantJoin(s.join("", kind(""), protocols("a")), kerr.InconsistentGroupProtocol, -1)
	two, three := s.join("", protocols("c", "b")), s.join("", protocols("b", "c"))
	one := s.join("m1", protocols("a", "b", "c"))
	for _, ticket := range []Ticket{one, two, three} {
		if a := s.wantJoin(ticket, nil, 2); a.Protocol != "b" || a.Type != "consumer" { // b has two votes of three
			t.Errorf("chose %+v", a)
		}
	}
	empty := begin(t, Settings{})
	empty.wantJoin(empty.join("", protocols()), kerr.InconsistentGroupProtocol, -1)
}

func TestInitialDelayGathersMembers(t *testing.T) {
	s := begin(t, Settings{InitialDelay: 100 * time.Millisecond})
	one := s.join("")
	s.pass(80 * time.Millisecond)
	two := s.join("")
	s.pass(50 * time.Millisecond) // the first delay is over; somebody came, so it goes on
	s.wantParked(one)
	s.pass(80 * time.Millisecond)
	s.wantJoin(one, nil, 1)
	s.wantJoin(two, nil, 1)
}

func TestInitialDelayIsBoundedByTheRebalanceTimeout(t *testing.T) {
	s := begin(t, Settings{InitialDelay: 100 * time.Millisecond})
	short := func(j *Join) { j.Rebalance = 250 * time.Millisecond }
	one := s.join("", short)
	for range 5 {
		s.pass(60 * time.Millisecond)
		s.join("", short)
	}
	s.wantJoin(one, nil, 1)
}

func TestStaticMemberComesBackWithoutRebalance(t *testing.T) {
	for _, skip := range []bool{false, true} {
		s := begin(t, Settings{})
		s.join("", static("one"))
		two := s.join("", static("two"))
		s.join("m1", static("one"))
		s.wantJoin(two, nil, 2)
		s.sync("m1", 2, "m1", "A", "m2", "B")
		options := []joinOption{static("one")}
		if skip {
			options = append(options, canSkip)
		}
		s.hold = true
		back := s.join("", options...)
		s.wantParked(back) // until its new id is stored
		s.stored()
		a := s.wantJoin(back, nil, 2)
		s.wantState(Stable, 2, 2)
		if skip && (!a.Skip || a.Leader != a.MemberID || len(a.Members) != 2) || !skip && (a.Skip || a.Leader != "m1") {
			t.Errorf("skip %v: the leader that came back is told %+v", skip, a)
		}
		s.wantSync(s.sync(a.MemberID, 2), nil, "A") // its partitions were kept
		// The one before is fenced, by id and instance.
		if e := s.g.Heartbeat(s.now, "m1", "one", 2); e != kerr.FencedInstanceID {
			t.Errorf("heartbeat of the one before: %v", e)
		}
		s.wantJoin(s.join("m1", static("one")), kerr.FencedInstanceID, -1)
		if e := s.leave("m1", "one"); e != kerr.FencedInstanceID {
			t.Errorf("leave of the one before: %v", e)
		}
		if e := s.leave("", "one"); e != nil { // an administrator, by instance
			t.Errorf("leave by instance: %v", e)
		}
		s.wantState(PreparingRebalance, 2, 1)
	}
}

func TestStaticMemberThatComesBackEndsTheOnesBefore(t *testing.T) {
	s := begin(t, Settings{})
	s.join("", static("one"))
	s.sync("m1", 1, "m1", "A")
	other := s.join("", static("other")) // starts a rebalance
	before := s.join("m1", static("one"))
	s.wantJoin(before, nil, 2)
	s.wantJoin(other, nil, 2)
	s.hold = true // the leader's assignment is being stored
	sync := s.sync("m1", 2)
	back := s.join("", static("one")) // after the answer went out, before all have synced
	s.wantSync(sync, kerr.FencedInstanceID, "")
	s.wantState(PreparingRebalance, 2, 2)
	s.wantParked(back)
}

func TestStaticMembersOutliveRebalances(t *testing.T) {
	s := begin(t, Settings{})
	s.join("", static("one"), session(5*time.Minute))
	s.sync("m1", 1, "m1", "A")
	two := s.join("")
	s.pass(61 * time.Second) // one does not join, but its session lasts
	s.wantJoin(two, nil, 2)
	s.wantState(CompletingRebalance, 2, 2)
	if a := s.joins[two]; a.Leader != a.MemberID {
		t.Errorf("leader is %s, who did not join", a.Leader)
	}
}

func TestChangedProtocolOfAStaticMemberRebalances(t *testing.T) {
	s := begin(t, Settings{})
	s.join("", static("one"), protocols("a", "b"))
	s.sync("m1", 1, "m1", "A")
	back := s.join("", static("one"), protocols("b"))
	s.wantJoin(back, nil, 2) // alone, so the rebalance is over at once
	s.wantState(CompletingRebalance, 2, 1)
}

func TestCommits(t *testing.T) {
	s := begin(t, Settings{})
	check := func(what, id string, generation int32, want *kerr.Error) {
		t.Helper()
		if e := s.g.CheckCommit(s.now, id, "", generation); e != want {
			t.Errorf("%s: %v, want %v", what, e, want)
		}
	}
	check("without a group", "", -1, nil)
	check("of a stranger", "x", 1, kerr.UnknownMemberID)
	s.join("")
	check("before the assignment", "m1", 1, kerr.RebalanceInProgress)
	s.sync("m1", 1, "m1", "A")
	check("of a member", "m1", 1, nil)
	check("of an old generation", "m1", 0, kerr.IllegalGeneration)
	check("without member in a group that has some", "", -1, kerr.UnknownMemberID)
	s.join("")
	check("of a member in a rebalance", "m1", 1, nil) // so that it can commit before it joins
	if e := s.g.CheckCommit(s.now, "m1", "nobody", 1); e != kerr.UnknownMemberID {
		t.Errorf("with an unknown instance: %v", e)
	}
}

func TestDelete(t *testing.T) {
	s := pair(t)
	if e := s.g.Delete(); e != kerr.NonEmptyGroup {
		t.Errorf("with members: %v", e)
	}
	s.leave("m1", "")
	s.leave("m2", "")
	if e := s.g.Delete(); e != nil {
		t.Error(e)
	}
	s.wantJoin(s.join(""), kerr.CoordinatorNotAvailable, -1)
	if e := s.g.CheckCommit(s.now, "", "", -1); e != kerr.CoordinatorNotAvailable {
		t.Errorf("commit to a dead group: %v", e)
	}
}

func TestAbandonedJoins(t *testing.T) {
	s := pair(t)
	three := s.join("") // never learned its id
	s.take(s.g.Abandon(s.now, three))
	s.wantState(PreparingRebalance, 2, 2)
	one := s.join("m1")
	s.take(s.g.Abandon(s.now, one)) // knows its id: has a session's time to come back
	two := s.join("m2")
	s.wantParked(two)
	s.pass(11 * time.Second)
	s.wantJoin(two, nil, 3)
	s.wantState(CompletingRebalance, 3, 1)
}

func TestStolenTimeEndsNoSession(t *testing.T) {
	s := pair(t)
	s.now = s.now.Add(time.Hour) // the machine slept
	s.g.Postpone(time.Hour)
	s.take(s.g.Tick(s.now))
	s.wantState(Stable, 2, 2)
	s.pass(11 * time.Second)
	s.wantState(Empty, 3, 0)
}

func TestGroupIsLoadedAsItWas(t *testing.T) {
	s := begin(t, Settings{})
	s.join("", static("one"), protocols("a", "b"))
	two := s.join("", protocols("b", "a"))
	s.join("m1", static("one"), protocols("a", "b"))
	s.wantJoin(two, nil, 2)
	s.sync("m1", 2, "m1", "A", "m2", "B")
	before := s.g.Snapshot()
	value, err := before.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := Decode(value)
	if err != nil {
		t.Fatal(err)
	}
	s.g = Load(s.now.Add(time.Hour), "g", decoded, s.g.settings)
	s.now = s.now.Add(time.Hour)
	if after := s.g.Snapshot(); !reflect.DeepEqual(before, after) {
		t.Fatalf("loaded %+v, was %+v", after, before)
	}
	// The members notice nothing.
	for _, id := range []string{"m1", "m2"} {
		if e := s.heartbeat(id, 2); e != nil {
			t.Errorf("heartbeat of %s: %v", id, e)
		}
	}
	s.wantJoin(s.join("m2", protocols("b", "a")), nil, 2)
	s.wantSync(s.sync("m2", 2), nil, "B")
}

// stored is the group as the last thing stored has it.
func (s *story) loaded() *story {
	s.t.Helper()
	value, err := s.last.Snapshot.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	decoded, err := Decode(value)
	if err != nil {
		s.t.Fatal(err)
	}
	other := begin(s.t, s.g.settings)
	other.now, other.ticket = s.now, s.ticket
	other.g = Load(s.now, "g", decoded, s.g.settings)
	return other
}

func TestWhoLeftIsNotWaitedFor(t *testing.T) {
	s := pair(t)
	s.leave("m2", "")
	after := s.loaded()
	after.wantState(PreparingRebalance, 2, 1)
	if e := after.heartbeat("m1", 2); e != kerr.RebalanceInProgress {
		t.Errorf("heartbeat: %v", e)
	}
	after.wantJoin(after.join("m1"), nil, 3) // at once
}

func TestRebalanceIsTakenOver(t *testing.T) {
	s := begin(t, Settings{})
	s.join("")
	two := s.join("")
	s.wantJoin(s.join("m1"), nil, 2)
	s.wantJoin(two, nil, 2)
	after := s.loaded() // both have been told generation 2, nobody has synced
	after.wantState(PreparingRebalance, 2, 2)
	after.wantSync(after.sync("m2", 2), kerr.RebalanceInProgress, "")
	one := after.join("m1")
	after.wantParked(one)
	after.wantJoin(after.join("m2"), nil, 3)
	after.wantJoin(one, nil, 3)
}

func TestWhoDoesNotKnowItsIDIsNotStored(t *testing.T) {
	s := pair(t)
	s.join("") // v0: learns its id with the answer
	s.leave("m2", "")
	after := s.loaded()
	after.wantState(PreparingRebalance, 2, 1)
	after.wantJoin(after.join("m1"), nil, 3)
	// A leader that is not stored either.
	s = begin(t, Settings{InitialDelay: time.Minute})
	s.join("")
	id := s.wantJoin(s.join("", known), kerr.MemberIDRequired, -1).MemberID
	s.join(id)
	third := s.wantJoin(s.join("", known), kerr.MemberIDRequired, -1).MemberID
	s.join(third)
	s.leave(third, "")
	after = s.loaded()
	after.wantState(PreparingRebalance, 0, 1)
}

func TestEmptyGroupKeepsItsGeneration(t *testing.T) {
	s := pair(t)
	s.leave("m1", "")
	s.leave("m2", "")
	g := Load(s.now, "g", s.g.Snapshot(), Settings{NewMemberTimeout: time.Minute})
	if g.State() != Empty || g.Generation() != 3 {
		t.Errorf("loaded as %s in generation %d", g.State(), g.Generation())
	}
	s.g = g
	s.wantJoin(s.join("", kind("connect")), nil, 4) // another type may move in
}

func TestDescribe(t *testing.T) {
	s := pair(t)
	d := s.g.Describe()
	if d.State != Stable || d.Type != "consumer" || d.Protocol != "range" || len(d.Members) != 2 || string(d.Members[1].Assignment) != "B" || string(d.Members[0].Metadata) != "r" || d.Members[0].ClientHost != "/h" {
		t.Errorf("stable: %+v", d)
	}
	s.join("")
	d = s.g.Describe()
	if d.State != PreparingRebalance || d.Protocol != "" || len(d.Members) != 3 || d.Members[0].Assignment != nil {
		t.Errorf("in a rebalance: %+v", d)
	}
	if subs := s.g.Subscriptions(); len(subs) != 3 || !slices.Equal(subs[0], []byte("r")) {
		t.Errorf("subscriptions %q", subs)
	}
}

func TestExpelAnswersEverybody(t *testing.T) {
	s := pair(t)
	three, one := s.join(""), s.join("m1")
	s.take(s.g.Expel(kerr.NotCoordinator))
	s.wantJoin(three, kerr.NotCoordinator, -1)
	s.wantJoin(one, kerr.NotCoordinator, -1)
	if s.g.State() != Dead {
		t.Errorf("still %s", s.g.State())
	}
}
