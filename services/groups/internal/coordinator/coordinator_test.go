package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/goleak"

	"kanal/libs/log"
	"kanal/libs/log/logtest"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/group"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const week = 7 * 24 * time.Hour

var consumers = consumer.Settings{Session: 45 * time.Second, Assignors: []string{"uniform"}}

var quiet = slog.New(slog.DiscardHandler)

// open opens a coordinator on a stream in memory.
func open(t testing.TB, s *logtest.Stream, change func(*Config)) *Coordinator {
	t.Helper()
	table, err := log.OpenTable(t.Context(), nil, log.TableConfig{Stream: "test", Storage: s, Log: quiet, Tune: func(c *log.Config) { c.Silence = 10 * time.Millisecond }})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Group: group.Settings{NewMemberTimeout: 5 * time.Minute}, Consumer: consumers, Topics: oneTopic{}, CleanInterval: time.Hour, OffsetsRetention: week, Log: quiet,
		Alive: func() bool { return true }, TopicLives: func(string, [16]byte) bool { return true },
	}
	if change != nil {
		change(&cfg)
	}
	c := New(cfg, table)
	t.Cleanup(sync.OnceFunc(c.Close))
	return c
}

// openDeaf opens a coordinator that learns of foreign messages only when it
// writes itself, if the stream's feed is lost as well.
func openDeaf(t testing.TB, s *logtest.Stream) *Coordinator {
	t.Helper()
	table, err := log.OpenTable(t.Context(), nil, log.TableConfig{Stream: "test", Storage: s, Log: quiet, Tune: func(c *log.Config) { c.Silence = time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{
		Group: group.Settings{NewMemberTimeout: time.Minute}, Consumer: consumers, Topics: oneTopic{}, CleanInterval: time.Hour, OffsetsRetention: week, Log: quiet,
		Alive: func() bool { return true }, TopicLives: func(string, [16]byte) bool { return true },
	}, table)
	t.Cleanup(c.Close)
	return c
}

func noPark(time.Duration) {}

// become joins a group that nobody else is in, and syncs.
func become(t testing.TB, c *Coordinator, id string, session time.Duration) (member string, generation int32) {
	t.Helper()
	j := &group.Join{NewID: "member", Session: session, Rebalance: session, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}
	a := c.Join(t.Context(), id, j, noPark)
	if a.Err != nil {
		t.Fatalf("join: %v", a.Err)
	}
	s := c.Sync(t.Context(), id, &group.Sync{MemberID: a.MemberID, Generation: a.Generation, Assignment: map[string][]byte{a.MemberID: []byte("all")}}, noPark)
	if s.Err != nil || string(s.Assignment) != "all" {
		t.Fatalf("sync: %+v", s)
	}
	return a.MemberID, a.Generation
}

func commitOf(offset int64) *Commit {
	return &Commit{Generation: -1, Offsets: map[Partition]Offset{{Topic: "t"}: {Offset: offset, Committed: time.Now()}}}
}

func offset(t testing.TB, c *Coordinator, id string) int64 {
	t.Helper()
	offsets, e := c.Offsets(t.Context(), id)
	if e != nil {
		t.Fatalf("offsets: %v", e)
	}
	o, ok := offsets[Partition{Topic: "t"}]
	if !ok {
		return -1
	}
	return o.Offset
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// Two coordinators write one log, through faults of every kind. What a client
// was told is committed is seen by both from then on, until something later is
// committed; no offset ever goes back.
func TestAcknowledgedCommitsAreNeverLost(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := logtest.NewStream(seed, logtest.Faults{LostRequest: .05, LostAck: .05, Delayed: .05, LostFeed: .3, Behind: .3})
			both := []*Coordinator{open(t, s, nil), open(t, s, nil)}
			var workers sync.WaitGroup
			for g := range 4 {
				workers.Go(func() {
					rng := rand.New(rand.NewPCG(seed, uint64(g)))
					id := fmt.Sprint("g", g)
					acknowledged, asked := int64(-1), int64(-1)
					for n := range int64(25) {
						c := both[rng.IntN(2)]
						asked = n
						switch e := c.Commit(t.Context(), id, commitOf(n)); {
						case e == nil:
							acknowledged = n
						case !e.Retriable:
							t.Errorf("commit refused with %v", e)
						}
						offsets, e := both[rng.IntN(2)].Offsets(t.Context(), id)
						if e != nil {
							continue // could not be confirmed
						}
						got := int64(-1)
						if o, ok := offsets[Partition{Topic: "t"}]; ok {
							got = o.Offset
						}
						if got < acknowledged || got > asked {
							t.Errorf("%s: fetched %d after %d was acknowledged and %d asked for", id, got, acknowledged, asked)
							return
						}
						acknowledged = got // shown is as good as acknowledged
					}
				})
			}
			workers.Wait()
		})
	}
}

// A holder that is one no longer may not refuse what the log allows.
func TestRefusalsRestOnTheLog(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1}) // nobody tells the old one
	old := openDeaf(t, s)
	young := open(t, s, nil)
	member, generation := become(t, young, "g", time.Minute)
	if e := old.Heartbeat(t.Context(), "g", member, "", generation); e != nil {
		t.Errorf("the old holder refused a heartbeat with %v", e)
	}
	if e := old.Commit(t.Context(), "g", &Commit{MemberID: member, Generation: generation, Offsets: commitOf(5).Offsets}); e != nil {
		t.Errorf("the old holder refused a commit with %v", e)
	}
	if e := old.Heartbeat(t.Context(), "g", "stranger", "", generation); e != kerr.UnknownMemberID {
		t.Errorf("the old holder told a stranger %v", e)
	}
	if got := offset(t, young, "g"); got != 5 {
		t.Errorf("the young holder sees %d", got)
	}
}

// overtakenBy is the context of a request that another instance has by now.
type overtakenBy struct{ context.Context }

func (overtakenBy) Overtaken() bool { return true }

// A holder that slept does not commit, behind what came after it, what it had
// in hand: offsets never go back.
func TestOvertakenCommitsAreNotMade(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1}) // nobody tells the old one
	old := openDeaf(t, s)
	young := open(t, s, nil)
	for _, n := range []int64{5, 6} {
		if e := young.Commit(t.Context(), "g", commitOf(n)); e != nil {
			t.Fatal(e)
		}
	}
	ctx := overtakenBy{t.Context()}
	if e := old.Commit(ctx, "g", commitOf(5)); e != kerr.NotCoordinator {
		t.Errorf("a commit that was overtaken ended with %v", e)
	}
	if e := old.Delete(ctx, "g"); e != kerr.NotCoordinator {
		t.Errorf("a deletion that was overtaken ended with %v", e)
	}
	if got := offset(t, old, "g"); got != 6 {
		t.Errorf("6 was committed, then 5 by one that slept: %d", got)
	}
}

// A message about one group leaves the memory of the others alone; the group
// that it is about sends those who wait elsewhere.
func TestForeignMessages(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	a := open(t, s, nil)
	quietMember, quietGeneration := become(t, a, "quiet", time.Minute)
	become(t, a, "moved", time.Minute)
	wait := make(chan group.JoinAnswer, 2)
	parked := make(chan struct{}, 2)
	for _, id := range []string{"quiet", "moved"} {
		go func() {
			wait <- a.Join(t.Context(), id, &group.Join{NewID: "second", Session: time.Minute, Rebalance: time.Minute, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}, func(time.Duration) { parked <- struct{}{} })
		}()
	}
	<-parked
	<-parked
	b := open(t, s, nil)
	// At b only the first member of "moved" is known; it leaves, so b stores.
	d, e := b.Describe(t.Context(), "moved")
	if e != nil || len(d.Members) != 1 {
		t.Fatalf("the other holder sees %+v, %v", d, e)
	}
	if e := b.Leave(t.Context(), "moved", Leaving{MemberID: d.Members[0].ID}); e != nil {
		t.Fatal(e)
	}
	if got := <-wait; got.Err != kerr.NotCoordinator {
		t.Errorf("who waited in the moved group was told %+v", got)
	}
	if e := a.Heartbeat(t.Context(), "quiet", quietMember, "", quietGeneration); e != kerr.RebalanceInProgress {
		t.Errorf("the quiet group lost its rebalance: heartbeat says %v", e)
	}
	again := a.Join(t.Context(), "quiet", &group.Join{MemberID: quietMember, Session: time.Minute, Rebalance: time.Minute, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}, noPark)
	if again.Err != nil || len(again.Members) != 2 {
		t.Errorf("the quiet group went on as %+v", again)
	}
	if got := <-wait; got.Err != nil {
		t.Errorf("who waited in the quiet group was told %+v", got)
	}
}

// A foreign message about another group comes between a group's decision and
// its store: the store is made again.
func TestStoresAreMadeAgain(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{LostFeed: 1})
	a, b := openDeaf(t, s), open(t, s, nil)
	if e := b.Commit(t.Context(), "other", commitOf(1)); e != nil {
		t.Fatal(e)
	}
	become(t, a, "g", time.Minute)
	if d, e := b.Describe(t.Context(), "g"); e != nil || d.State != group.Stable {
		t.Errorf("seen as %+v, %v", d, e)
	}
}

func TestForeignDeletionsAreSeen(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	a, b := open(t, s, nil), open(t, s, nil)
	if e := a.Commit(t.Context(), "g", commitOf(1)); e != nil {
		t.Fatal(e)
	}
	if e, each := b.DeleteOffsets(t.Context(), "g", []Partition{{Topic: "t"}}); e != nil || each[0] != nil {
		t.Fatal(e, each)
	}
	if got := offset(t, a, "g"); got != -1 {
		t.Errorf("still there: %d", got)
	}
	member, generation := become(t, a, "h", time.Minute)
	if e := b.Leave(t.Context(), "h", Leaving{MemberID: member}); e != nil {
		t.Fatal(e)
	}
	if e := b.Delete(t.Context(), "h"); e != nil {
		t.Fatal(e)
	}
	eventually(t, "no heartbeats in the deleted group", func() bool {
		return a.Heartbeat(t.Context(), "h", member, "", generation) == kerr.UnknownMemberID
	})
}

func TestCloseAnswersWhoWaits(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	become(t, c, "g", time.Minute)
	parked, answered := make(chan struct{}), make(chan group.JoinAnswer)
	go func() {
		answered <- c.Join(t.Context(), "g", &group.Join{NewID: "second", Session: time.Minute, Rebalance: time.Minute, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}, func(time.Duration) { close(parked) })
	}()
	<-parked
	close(c.stop)
	if a := <-answered; a.Err != kerr.NotCoordinator {
		t.Errorf("told %+v", a)
	}
	c.stop = make(chan struct{}) // for the cleanup's Close
	if e := c.Heartbeat(t.Context(), "g", "x", "", 1); e != kerr.NotCoordinator {
		t.Errorf("asked after the end: %v", e)
	}
}

// A silence of our own, not of the members, ends no session.
func TestSessionsSurviveOurOwnAbsence(t *testing.T) {
	var alive atomic.Bool
	alive.Store(true)
	clock, now := clock()
	c := open(t, logtest.NewStream(1, logtest.Faults{}), func(cfg *Config) {
		cfg.Alive = alive.Load
		cfg.Now = now
	})
	member, generation := become(t, c, "g", 10*time.Second)
	alive.Store(false)
	clock.Add(int64(time.Hour)) // NATS was away for an hour
	c.do(c.ring)
	if d, e := c.Describe(t.Context(), "g"); e != nil || len(d.Members) != 1 {
		t.Fatalf("while away: %+v, %v", d, e)
	}
	alive.Store(true)
	c.do(c.watch)
	c.do(c.ring)
	if e := c.Heartbeat(t.Context(), "g", member, "", generation); e != nil {
		t.Errorf("heartbeat after coming back: %v", e)
	}
	for range 11 { // now it is the member that is silent
		clock.Add(int64(time.Second))
		c.do(c.watch)
		c.do(c.ring)
	}
	if d, e := c.Describe(t.Context(), "g"); e != nil || d.State != group.Empty {
		t.Errorf("after a member's silence: %+v, %v", d, e)
	}
}

// clock gives a clock that a test moves.
func clock() (*atomic.Int64, func() time.Time) {
	var moved atomic.Int64
	start := time.Now()
	return &moved, func() time.Time { return start.Add(time.Duration(moved.Load())) }
}

// do runs f on the owner's goroutine and waits for it.
func (c *Coordinator) do(f func()) {
	done := make(chan struct{})
	c.inbox.post(func() { f(); close(done) })
	<-done
}

func TestCleaning(t *testing.T) {
	var lives atomic.Bool
	lives.Store(true)
	s := logtest.NewStream(1, logtest.Faults{})
	c := open(t, s, func(cfg *Config) { cfg.TopicLives = func(string, [16]byte) bool { return lives.Load() } })
	old := commitOf(7)
	for p, o := range old.Offsets {
		o.Committed = time.Now().Add(-time.Hour)
		old.Offsets[p] = o
	}
	if e := c.Commit(t.Context(), "old", old); e != nil {
		t.Fatal(e)
	}
	if e := c.Commit(t.Context(), "fresh", commitOf(8)); e != nil {
		t.Fatal(e)
	}
	member, _ := become(t, c, "empty", time.Minute)
	if e := c.Leave(t.Context(), "empty", Leaving{MemberID: member}); e != nil {
		t.Fatal(e)
	}
	listed := func() string {
		l, e := c.List(t.Context())
		if e != nil {
			t.Fatal(e)
		}
		return fmt.Sprint(l)
	}
	if got := listed(); got != "[{empty consumer classic Empty} {fresh  classic Empty} {old  classic Empty}]" {
		t.Fatalf("before: %s", got)
	}
	lives.Store(false)
	if got := offset(t, c, "old"); got != -1 {
		t.Errorf("offset of a topic that is gone: %d", got)
	}
	for range 2 { // the offsets, then the groups without any
		c.do(func() { c.clean(time.Now()) })
		_ = listed() // its confirmation comes after what cleaning has submitted
	}
	if got := listed(); got != "[{fresh  classic Empty}]" { // its commit is too young to be sure
		t.Errorf("after: %s", got)
	}
	lives.Store(true)
	again := open(t, s, nil)
	if got, want := offset(t, again, "old"), int64(-1); got != want {
		t.Errorf("stored for old: %d", got)
	}
	if got := offset(t, again, "fresh"); got != 8 {
		t.Errorf("stored for fresh: %d", got)
	}
}

// Thousands of offsets are deleted with their group, over several commits.
func TestDeleteOfALargeGroup(t *testing.T) {
	s := logtest.NewStream(1, logtest.Faults{})
	c := open(t, s, nil)
	const n = 2*maxDeletions + 5
	for first := int32(0); first < n; first += 3000 {
		q := &Commit{Generation: -1, Offsets: map[Partition]Offset{}}
		for p := first; p < min(first+3000, n); p++ {
			q.Offsets[Partition{"t", p}] = Offset{Offset: 1}
		}
		if e := c.Commit(t.Context(), "g", q); e != nil {
			t.Fatal(e)
		}
	}
	if e := c.Delete(t.Context(), "g"); e != nil {
		t.Fatal(e)
	}
	if e := c.Delete(t.Context(), "g"); e != kerr.GroupIDNotFound {
		t.Errorf("deleted twice: %v", e)
	}
	if offsets, e := open(t, s, nil).Offsets(t.Context(), "g"); e != nil || len(offsets) != 0 {
		t.Errorf("%d offsets are left, %v", len(offsets), e)
	}
}

func TestCommitsThatAreTooLarge(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	q := commitOf(1)
	for i := range int32(300) {
		q.Offsets[Partition{"t", i}] = Offset{Metadata: string(make([]byte, 4096))}
	}
	if e := c.Commit(t.Context(), "g", q); e != kerr.InvalidCommitOffsetSize {
		t.Errorf("got %v", e)
	}
	if e := c.Commit(t.Context(), "g", commitOf(2)); e != nil {
		t.Errorf("the next one: %v", e)
	}
}

func TestGroupsThatAreTooLarge(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	j := &group.Join{NewID: "m", Session: time.Minute, Rebalance: time.Minute, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}
	a := c.Join(t.Context(), "g", j, noPark)
	s := c.Sync(t.Context(), "g", &group.Sync{MemberID: a.MemberID, Generation: a.Generation, Assignment: map[string][]byte{a.MemberID: make([]byte, 2<<20)}}, noPark)
	if s.Err != kerr.UnknownServerError {
		t.Errorf("got %+v", s.Err)
	}
	j.MemberID = a.MemberID // comes again, with less
	if a = c.Join(t.Context(), "g", j, noPark); a.Err != nil || a.Generation != 2 {
		t.Fatalf("joined again: %+v", a)
	}
	s = c.Sync(t.Context(), "g", &group.Sync{MemberID: a.MemberID, Generation: 2, Assignment: map[string][]byte{a.MemberID: []byte("all")}}, noPark)
	if s.Err != nil || string(s.Assignment) != "all" {
		t.Errorf("synced again: %+v", s)
	}
}

func TestGoneClientsAreForgotten(t *testing.T) {
	c := open(t, logtest.NewStream(1, logtest.Faults{}), nil)
	member, _ := become(t, c, "g", time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	parked, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answered)
		c.Join(ctx, "g", &group.Join{NewID: "second", Session: time.Minute, Rebalance: time.Minute, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}}}, func(time.Duration) { close(parked) })
	}()
	<-parked
	cancel()
	<-answered
	d, e := c.Describe(t.Context(), "g")
	if e != nil || len(d.Members) != 1 || d.Members[0].ID != member {
		t.Errorf("members %+v, %v", d.Members, e)
	}
}

func TestOffsetKeysAndValues(t *testing.T) {
	seen := make(map[string]string)
	for _, g := range []string{"", "g", "a\x00b", "a", string(make([]byte, 300))} {
		for _, p := range []Partition{{"", 0}, {"t", 0}, {"t", 2147483647}, {"b", 1}, {"\x00b", 1}} {
			key := offsetKey(g, p)
			what := fmt.Sprintf("%q %v", g, p)
			if other, twice := seen[key]; twice {
				t.Errorf("%s and %s share a key", what, other)
			}
			seen[key] = what
			if g2, p2, err := parseOffsetKey(key); err != nil || g2 != g || p2 != p {
				t.Errorf("%s is read as %q %v, %v", what, g2, p2, err)
			}
		}
	}
	want := Offset{Offset: -5, LeaderEpoch: -1, Metadata: "note", TopicID: [16]byte{7}, Committed: time.UnixMilli(1_700_000_000_123)}
	if got, err := decodeOffset(want.encode()); err != nil || got != want {
		t.Errorf("read %+v, %v", got, err)
	}
}

func FuzzOffsets(f *testing.F) {
	f.Add(offsetKey("g", Partition{"t", 3}), (&Offset{Offset: 1, Metadata: "m"}).encode())
	f.Add("o\x01g\xff\xff\xff\xff\x0f", []byte{1})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if g, p, err := parseOffsetKey(key); err == nil {
			if g2, p2, err := parseOffsetKey(offsetKey(g, p)); err != nil || g2 != g || p2 != p {
				t.Errorf("%q is read as %q %v and then as %q %v", key, g, p, g2, p2)
			}
		}
		if o, err := decodeOffset(value); err == nil {
			if again, err := decodeOffset(o.encode()); err != nil || again != o {
				t.Errorf("%x is read as %+v and then as %+v", value, o, again)
			}
		}
	})
}
