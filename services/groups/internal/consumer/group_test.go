package consumer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func ptr[T any](v T) *T { return &v }

func (w *world) requireState(want State) {
	w.t.Helper()
	if got := w.g.State(); got != want {
		w.t.Errorf("the group is %s, want %s", got, want)
	}
}

func requireShares(t *testing.T, want []int, clients ...*client) {
	t.Helper()
	got, err := shares(clients...)
	if slices.Sort(got); err != nil || !slices.Equal(got, want) {
		t.Errorf("they read %v, want %v; %v", got, want, err)
	}
}

func requireErr(t *testing.T, what string, got, want *kerr.Error) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A partition goes to its new owner only when the old one has let it go.
func TestPartitionsAreLetGoFirst(t *testing.T) {
	w := newWorld(t, "a")
	w.requireState(Empty)
	one, two := w.client("one", "a"), w.client("two", "a")
	if a := one.beat(); a.Epoch != 1 || len(a.Assignment) != 6 {
		t.Fatalf("first: %+v", a)
	}
	w.requireState(Stable)
	if a := two.beat(); a.Epoch != 2 || !a.Assigned || len(a.Assignment) != 0 {
		t.Fatalf("the second one joins, nothing is free: %+v", a)
	}
	w.requireState(Reconciling)
	if a := one.w.heartbeat(one.request()); a.Epoch != 1 || len(a.Assignment) != 3 {
		t.Fatalf("the first one is asked to let go: %+v", a)
	} else {
		one.take(a)
	}
	if a := two.beat(); len(a.Assignment) != 0 {
		t.Fatalf("not let go yet: %+v", a)
	}
	if a := one.beat(); a.Epoch != 1 { // still without saying what it has
		t.Fatalf("before it has let go: %+v", a)
	}
	if a := one.beat(); a.Epoch != 2 { // beat has followed
		t.Fatalf("after it has: %+v", a)
	}
	if a := two.beat(); a.Epoch != 2 || len(a.Assignment) != 3 {
		t.Fatalf("now they are free: %+v", a)
	}
	w.requireState(Stable)
	requireShares(t, []int{3, 3}, one, two)
}

// Heartbeats without news change nothing and carry nothing.
func TestQuietHeartbeats(t *testing.T) {
	w := newWorld(t, "a")
	one := w.client("one", "a")
	w.settle(one)
	a := w.g.Heartbeat(w.now, &Heartbeat{MemberID: "one", Epoch: 1, Rebalance: -1}, w.topics)
	if a.Err != nil || a.Assigned || a.Epoch != 1 {
		t.Errorf("told %+v", a)
	}
	if dirty := w.g.Take(); dirty.Group || len(dirty.Members) > 0 {
		t.Errorf("stored %+v", dirty)
	}
	if a := w.g.Heartbeat(w.now, one.request(), w.topics); !a.Assigned || len(a.Assignment) != 6 {
		t.Errorf("who says everything hears everything: %+v", a)
	}
	if a := w.g.Heartbeat(w.now, &Heartbeat{MemberID: "one", Epoch: 1, Rebalance: -1, Again: true}, w.topics); !a.Assigned || len(a.Assignment) != 6 {
		t.Errorf("whose answer may be lost: %+v", a)
	}
	w.move()
	for _, want := range []bool{true, false} {
		if a := w.heartbeat(&Heartbeat{MemberID: "one", Epoch: 1, Rebalance: -1}); a.Err != nil || a.Assigned != want {
			t.Errorf("at another holder: %+v, assignment wanted: %v", a, want)
		}
	}
	w.topics.set("other", 3) // nobody reads it
	if a := one.beat(); a.Epoch != 1 {
		t.Errorf("another topic: %+v", a)
	}
}

func TestTopicsChange(t *testing.T) {
	w := newWorld(t, "a")
	one := w.client("one", "a", "later")
	w.settle(one)
	w.topics.set("a", 8)
	if a := one.beat(); a.Epoch != 2 || len(a.Assignment) != 8 {
		t.Errorf("more partitions: %+v", a)
	}
	w.topics.set("later", 2)
	if a := one.beat(); a.Epoch != 3 || len(a.Assignment) != 10 {
		t.Errorf("a topic that was waited for: %+v", a)
	}
	w.topics.set("a", 0)
	w.settle(one)
	w.topics.set("a", 8)
	if a := one.beat(); len(a.Assignment) != 10 {
		t.Errorf("a topic that was made again: %+v", a)
	}
	one.topics = []string{"later"}
	w.settle(one)
	requireShares(t, []int{2}, one)
	if w.g.Subscribed("a") || !w.g.Subscribed("later") {
		t.Error("subscribed to what it no longer reads, or not to what it does")
	}
}

func TestRegularExpressions(t *testing.T) {
	w := newWorld(t, "logs-1", "logs-2", "other-logs-1")
	one := w.client("one")
	one.topics, one.regex = nil, ptr("logs-.*")
	w.settle(one)
	if requireShares(t, []int{12}, one); !w.g.Subscribed("logs-1") || w.g.Subscribed("other-logs-1") {
		t.Error("a regular expression must match the whole name")
	}
	w.topics.set("logs-3", 1)
	if a := one.beat(); len(a.Assignment) != 13 {
		t.Errorf("a new topic that matches: %+v", a)
	}
	w.move()
	if !w.g.Subscribed("logs-1") {
		t.Error("as long as nobody has looked it may be subscribed to anything")
	}
	if a := one.beat(); a.Err != nil || a.Epoch != one.epoch {
		t.Errorf("after a move: %+v", a)
	}
	for _, bad := range []string{"(", "a)(b", "(?<=a)b"} { // RE2 does not look back
		one.regex = &bad
		if a := w.heartbeat(one.request()); a.Err != kerr.InvalidRegularExpression || a.Message == "" {
			t.Errorf("%q: %+v", bad, a)
		}
	}
	one.regex, one.topics = ptr(""), []string{"other-logs-1"}
	w.settle(one)
	requireShares(t, []int{6}, one)
}

func TestEpochs(t *testing.T) {
	w := newWorld(t, "a")
	one, two := w.client("one", "a"), w.client("two", "a")
	w.settle(one, two)
	epoch := one.epoch
	try := func(what string, want *kerr.Error, change func(*Heartbeat)) {
		t.Helper()
		q := one.request()
		change(q)
		requireErr(t, what, w.heartbeat(q).Err, want)
	}
	try("a greater epoch", kerr.FencedMemberEpoch, func(q *Heartbeat) { q.Epoch++ })
	try("the one before, with what it may have", nil, func(q *Heartbeat) { q.Epoch = w.g.members["one"].previous })
	try("the one before, with more", kerr.FencedMemberEpoch, func(q *Heartbeat) {
		q.Epoch, q.Owned = w.g.members["one"].previous, one.owned.Plus(two.owned)
	})
	again := &Heartbeat{MemberID: "one", Epoch: w.g.members["one"].previous, Rebalance: -1}
	if a := w.heartbeat(again); a.Err != nil || a.Epoch != epoch || !a.Assigned {
		t.Errorf("the one before, without news: %+v", a)
	}
	try("a stranger", kerr.UnknownMemberID, func(q *Heartbeat) { q.MemberID = "three" })
	if w.g.epoch != epoch {
		t.Errorf("refusals moved the group from epoch %d to %d", epoch, w.g.epoch)
	}
	one.epoch, one.owned, one.wanted = JoinEpoch, nil, nil // it has forgotten everything
	if a := one.beat(); a.Epoch != epoch || len(a.Assignment) != 3 {
		t.Errorf("joining again with the same id: %+v", a)
	}
	for what, c := range map[string]struct {
		got, want *kerr.Error
	}{
		"commit":                       {w.g.CheckCommit("one", epoch, 9), nil},
		"commit of an old epoch":       {w.g.CheckCommit("one", epoch-1, 9), kerr.StaleMemberEpoch},
		"commit of a later epoch":      {w.g.CheckCommit("one", epoch+1, 9), kerr.StaleMemberEpoch},
		"commit of a stranger":         {w.g.CheckCommit("three", epoch, 9), kerr.UnknownMemberID},
		"commit of an old version":     {w.g.CheckCommit("one", epoch, 8), kerr.UnsupportedVersion},
		"commit without membership":    {w.g.CheckCommit("", -1, 9), kerr.UnknownMemberID},
		"commit to a group of nobody":  {New("empty", settings).CheckCommit("", -1, 8), nil},
		"fetch":                        {w.g.CheckFetch("one", epoch), nil},
		"fetch of an old epoch":        {w.g.CheckFetch("one", epoch-1), kerr.StaleMemberEpoch},
		"fetch of a stranger":          {w.g.CheckFetch("three", epoch), kerr.UnknownMemberID},
		"fetch without membership":     {w.g.CheckFetch("", -1), nil},
		"removal of nobody":            {w.g.Remove("three", ""), kerr.UnknownMemberID},
		"removal of no known instance": {w.g.Remove("", "i"), kerr.UnknownMemberID},
	} {
		requireErr(t, what, c.got, c.want)
	}
}

func TestStaticMembers(t *testing.T) {
	w := newWorld(t, "a")
	one, two := w.client("one", "a"), w.client("two", "a")
	one.instance = ptr("i")
	w.settle(one, two)
	epoch, had := w.g.epoch, one.owned

	thief := w.client("thief", "a")
	thief.instance = ptr("i")
	requireErr(t, "an instance id in use", w.heartbeat(thief.request()).Err, kerr.UnreleasedInstanceID)
	q := two.request()
	q.InstanceID = ptr("i")
	requireErr(t, "another's instance id", w.heartbeat(q).Err, kerr.FencedInstanceID)
	q.InstanceID = ptr("unknown")
	requireErr(t, "nobody's instance id", w.heartbeat(q).Err, kerr.UnknownMemberID)

	if a := w.heartbeat(&Heartbeat{MemberID: "one", Epoch: StaticLeaveEpoch, InstanceID: ptr("i")}); a.Err != nil || a.Epoch != StaticLeaveEpoch {
		t.Fatalf("leaving for now: %+v", a)
	}
	requireErr(t, "leaving for now without an instance", w.heartbeat(&Heartbeat{MemberID: "two", Epoch: StaticLeaveEpoch}).Err, kerr.InvalidRequest)
	w.move()
	if a := two.beat(); a.Epoch != epoch || len(a.Assignment) != 3 {
		t.Errorf("the other one noticed: %+v", a)
	}
	if a := thief.beat(); a.Epoch != epoch || !a.Assignment.Equal(had) {
		t.Errorf("who comes back under another id got %+v, had %v", a, had)
	}
	requireErr(t, "the id from before", w.heartbeat(one.request()).Err, kerr.FencedInstanceID)
	w.requireState(Stable)
	if got := w.g.Remove("one", "i"); got != kerr.FencedInstanceID {
		t.Errorf("removal with another's id: %v", got)
	}
	if got := w.g.Remove("", "i"); got != nil || w.g.Members() != 1 {
		t.Errorf("removal by an administrator: %v", got)
	}
	w.settle(two)
	requireShares(t, []int{6}, two)
}

// What a static member had stays with it while it is away, also when others come.
func TestPartitionsWaitForStaticMembers(t *testing.T) {
	w := newWorld(t, "a")
	one, two, three := w.client("one", "a"), w.client("two", "a"), w.client("three", "a")
	one.instance = ptr("i")
	w.settle(one, two)
	had := one.owned
	w.heartbeat(&Heartbeat{MemberID: "one", Epoch: StaticLeaveEpoch, InstanceID: ptr("i")})
	for range 5 {
		two.beat()
		three.beat()
	}
	if taken := two.owned.Plus(three.owned).And(had); len(taken) > 0 {
		t.Errorf("while it was away others got %v", taken)
	}
	one.epoch, one.owned, one.wanted = JoinEpoch, nil, nil
	w.settle(one, two, three)
	requireShares(t, []int{2, 2, 2}, one, two, three)
}

// A static member that does not come back loses its partitions with its session.
func TestStaticMembersExpire(t *testing.T) {
	w := newWorld(t, "a")
	one, two := w.client("one", "a"), w.client("two", "a")
	one.instance = ptr("i")
	w.settle(one, two)
	w.heartbeat(&Heartbeat{MemberID: "one", Epoch: StaticLeaveEpoch, InstanceID: ptr("i")})
	w.tick(30 * time.Second)
	two.beat()
	w.tick(16 * time.Second)
	w.settle(two)
	requireShares(t, []int{6}, two)
}

func TestTimeouts(t *testing.T) {
	w := newWorld(t, "a")
	one, two := w.client("one", "a"), w.client("two", "a")
	one.beat()
	two.beat()
	one.take(w.heartbeat(one.request())) // is asked to let go, and does not
	if next := w.g.Next(); !next.Equal(w.now.Add(45 * time.Second)) {
		t.Errorf("the next look is at %v", next.Sub(w.now))
	}
	for range 5 {
		w.tick(11 * time.Second)
		one.take(w.heartbeat(&Heartbeat{MemberID: "one", Epoch: 1, Rebalance: -1}))
		two.beat()
	}
	w.g.Postpone(time.Second)
	w.tick(5 * time.Second)
	if w.g.Members() != 2 {
		t.Fatal("its minute is not over")
	}
	w.tick(time.Second)
	if w.settle(two); w.g.Members() != 1 {
		t.Errorf("a member that does not let go is still there: %+v", w.g.Describe())
	}
	requireShares(t, []int{6}, two)
	w.tick(45 * time.Second)
	w.requireState(Empty)
	if !w.g.Next().IsZero() {
		t.Error("an empty group waits for something")
	}
}

func TestAssignors(t *testing.T) {
	w := newWorld(t, "a", "b")
	one, two, three := w.client("one", "a", "b"), w.client("two", "a", "b"), w.client("three", "a", "b")
	w.settle(one)
	if got := w.g.Describe().Assignor; got != "uniform" {
		t.Errorf("by default: %s", got)
	}
	one.assignor, two.assignor = ptr("range"), ptr("range")
	w.settle(one, two, three)
	epoch := w.g.epoch
	if got := w.g.Describe().Assignor; got != "range" {
		t.Errorf("two of three ask for range: %s", got)
	}
	one.assignor, three.assignor = ptr("uniform"), ptr("uniform")
	w.settle(one, two, three)
	if got := w.g.Describe().Assignor; got != "uniform" || w.g.epoch == epoch {
		t.Errorf("two of three ask for uniform: %s at epoch %d", got, w.g.epoch)
	}
}

func TestMaxSize(t *testing.T) {
	w := newWorld(t, "a")
	w.g.settings.MaxSize = 1
	one := w.client("one", "a")
	w.settle(one)
	requireErr(t, "the second", w.heartbeat(w.client("two", "a").request()).Err, kerr.GroupMaxSizeReached)
	one.epoch, one.owned, one.wanted = JoinEpoch, nil, nil
	requireErr(t, "the first again", one.beat().Err, nil)
}

// Another holder in the middle of a rebalance goes on where the one before was.
func TestRebalanceIsTakenOver(t *testing.T) {
	w := newWorld(t, "a")
	one, two := w.client("one", "a"), w.client("two", "a")
	for _, step := range []func(){func() { one.beat() }, func() { two.beat() }, func() { one.take(w.heartbeat(one.request())) }, func() { two.beat() }, one.follow, func() { one.beat() }, func() { two.beat() }} {
		step()
		before := w.g.Describe()
		w.move()
		if after := w.g.Describe(); after.Epoch != before.Epoch || after.State != before.State || len(after.Members) != len(before.Members) {
			t.Errorf("%+v became %+v", before, after)
		}
	}
	requireShares(t, []int{3, 3}, one, two)
	if w.g.epoch != 2 || one.epoch != 2 || two.epoch != 2 {
		t.Errorf("epochs %d, %d, %d", w.g.epoch, one.epoch, two.epoch)
	}
}

func TestBadRecords(t *testing.T) {
	w := newWorld(t, "a")
	one, two := w.client("one", "a"), w.client("two", "a")
	one.instance = ptr("i")
	w.settle(one, two)
	load := func(record []byte, members map[string][]byte) error {
		_, err := Load(w.now, "g", record, members, settings)
		return err
	}
	if err := load(w.record, w.members); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"no group":             load(nil, w.members),
		"another version":      load([]byte(`{"version":2}`), nil),
		"no member":            load(w.record, map[string][]byte{"one": nil}),
		"no id":                load(w.record, map[string][]byte{"": w.members["two"]}),
		"a partition twice":    load(w.record, map[string][]byte{"x": w.members["two"], "y": w.members["two"]}),
		"an instance twice":    load(w.record, map[string][]byte{"x": []byte(`{"version":1,"instanceId":"i"}`), "y": []byte(`{"version":1,"instanceId":"i"}`)}),
		"half a topic id":      load(w.record, map[string][]byte{"x": []byte(`{"version":1,"target":[{"topic":"AAAA","partitions":[1]}]}`)}),
		"a state of nobody":    load(w.record, map[string][]byte{"x": []byte(`{"version":1,"state":9}`)}),
		"a timeout of before":  load(w.record, map[string][]byte{"x": []byte(`{"version":1,"rebalanceTimeoutMs":-1}`)}),
		"a version of members": load(w.record, map[string][]byte{"x": []byte(`{"version":7}`)}),
	} {
		if !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	w := newWorld(f, "a")
	w.settle(w.client("one", "a"), w.client("two", "a"))
	f.Add(w.record, w.members["one"], w.members["two"])
	f.Fuzz(func(t *testing.T, record, one, two []byte) {
		g, err := Load(w.now, "g", record, map[string][]byte{"one": one, "two": two}, settings)
		if err != nil {
			return
		}
		c := &client{w: &world{t: t, now: w.now, g: g, topics: w.topics, members: map[string][]byte{}}, id: "one", topics: []string{"a"}}
		if a := c.w.heartbeat(c.request()); a.Err != nil && a.Err != kerr.UnreleasedInstanceID {
			t.Errorf("joining: %+v", a)
		}
	})
}
