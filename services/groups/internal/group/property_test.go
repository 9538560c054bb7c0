package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// world plays many clients against one group, at random, and watches that the
// group keeps its promises.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	g       *Group
	now     time.Time
	ticket  Ticket
	clients []*playedClient
	waiting map[Ticket]*playedClient
	stores  []Store
	// what leaders assigned, by generation and member
	assigned map[string]string
}

// playedClient is a client that keeps to the protocol, except when it is moody.
type playedClient struct {
	name, instance string
	id             string
	generation     int32
	leader         bool
	members        []JoinMember
	step           string // "join", "joining", "sync", "syncing", "stable", "gone"
	heard          time.Time
}

const clientSession, clientRebalance = 10 * time.Second, 30 * time.Second

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: epoch, waiting: map[Ticket]*playedClient{}, assigned: map[string]string{}}
	w.g = New("g", Settings{InitialDelay: time.Duration(w.rng.IntN(2)) * 100 * time.Millisecond, NewMemberTimeout: 5 * time.Minute})
	for i := range 1 + w.rng.IntN(5) {
		c := &playedClient{name: fmt.Sprint("c", i), step: "join"}
		if w.rng.IntN(3) == 0 {
			c.instance = fmt.Sprint("i", i)
		}
		w.clients = append(w.clients, c)
	}
	return w
}

func (w *world) next(c *playedClient) Ticket {
	w.ticket++
	w.waiting[w.ticket] = c
	return w.ticket
}

func (w *world) take(out Output) {
	for _, a := range out.Joins {
		w.joined(a)
	}
	for _, a := range out.Syncs {
		w.synced(a)
	}
	if out.Store != nil {
		w.stores = append(w.stores, *out.Store)
	}
	w.check()
}

func (w *world) answered(ticket Ticket) *playedClient {
	c, ok := w.waiting[ticket]
	if !ok {
		w.t.Fatalf("ticket %d is answered twice or was never given", ticket)
	}
	delete(w.waiting, ticket)
	return c
}

func (w *world) joined(a JoinAnswer) {
	c := w.answered(a.Ticket)
	if c == nil {
		return // abandoned
	}
	switch a.Err {
	case nil:
		if a.Generation != w.g.Generation() && w.g.State() == Stable && !a.Skip && c.instance == "" {
			w.t.Fatalf("told generation %d in generation %d", a.Generation, w.g.Generation())
		}
		c.id, c.generation, c.members = a.MemberID, a.Generation, a.Members
		c.leader = a.Leader == a.MemberID && !a.Skip
		if c.leader && !slices.ContainsFunc(a.Members, func(m JoinMember) bool { return m.ID == c.id }) {
			w.t.Fatalf("leader %s is not among its members %v", c.id, a.Members)
		}
		c.step = "sync"
	case kerr.MemberIDRequired:
		c.id, c.step = a.MemberID, "join"
	case kerr.UnknownMemberID, kerr.FencedInstanceID:
		c.id, c.step = "", "join"
	case kerr.RebalanceInProgress:
		c.step = "join"
	default:
		w.t.Fatalf("join of %s refused with %v", c.name, a.Err)
	}
}

func (w *world) synced(a SyncAnswer) {
	c := w.answered(a.Ticket)
	if c == nil {
		return
	}
	switch a.Err {
	case nil:
		if want := w.assigned[fmt.Sprint(c.generation, c.id)]; c.instance == "" && string(a.Assignment) != want {
			w.t.Fatalf("%s was handed %q in generation %d, its leader assigned %q", c.id, a.Assignment, c.generation, want)
		}
		c.step, c.heard = "stable", w.now
	case kerr.UnknownMemberID, kerr.FencedInstanceID:
		c.id, c.step = "", "join"
	case kerr.RebalanceInProgress, kerr.IllegalGeneration:
		c.step = "join"
	default:
		w.t.Fatalf("sync of %s refused with %v", c.name, a.Err)
	}
}

// act lets one client do what it has to do next, or something moody.
func (w *world) act(c *playedClient, moody bool) {
	if moody {
		switch w.rng.IntN(6) {
		case 0: // dies without a word
			w.forget(c)
			c.step = "gone"
			return
		case 1: // leaves
			if c.id != "" || c.instance != "" {
				w.forget(c)
				out, _ := w.g.Leave(w.now, c.id, c.instance)
				w.take(out)
				c.id, c.step = "", "gone"
				return
			}
		case 2: // loses its connection and its memory
			w.forget(c)
			c.id, c.step = "", "join"
		case 3: // loses its connection
			w.forget(c)
			c.step = "join"
		}
	}
	switch c.step {
	case "join":
		c.step = "joining"
		w.take(w.g.Join(w.now, &Join{
			Ticket: w.next(c), MemberID: c.id, NewID: fmt.Sprint(c.name, "-", w.ticket), InstanceID: c.instance,
			Session: clientSession, Rebalance: clientRebalance, ProtocolType: "consumer",
			Protocols: []Protocol{{"range", []byte(c.name)}}, RequireKnownID: w.rng.IntN(2) == 0, CanSkip: w.rng.IntN(2) == 0,
		}))
	case "sync":
		c.step = "syncing"
		s := &Sync{Ticket: w.next(c), MemberID: c.id, InstanceID: c.instance, Generation: c.generation}
		if c.leader {
			s.Assignment = make(map[string][]byte)
			for _, m := range c.members {
				s.Assignment[m.ID] = fmt.Appendf(nil, "%s for %s", m.Metadata, m.ID)
				w.assigned[fmt.Sprint(c.generation, m.ID)] = string(s.Assignment[m.ID])
			}
		}
		w.take(w.g.Sync(w.now, s))
	case "stable":
		w.heartbeat(c)
	}
}

func (w *world) heartbeat(c *playedClient) {
	switch e := w.g.Heartbeat(w.now, c.id, c.instance, c.generation); e {
	case nil:
		c.heard = w.now
	case kerr.RebalanceInProgress, kerr.IllegalGeneration:
		c.step = "join"
	case kerr.UnknownMemberID, kerr.FencedInstanceID:
		c.id, c.step = "", "join"
	default:
		w.t.Fatalf("heartbeat of %s refused with %v", c.name, e)
	}
}

// forget drops the tickets of a client: its connection is gone.
func (w *world) forget(c *playedClient) {
	for ticket, owner := range w.waiting {
		if owner == c {
			w.waiting[ticket] = nil
			w.take(w.g.Abandon(w.now, ticket))
		}
	}
}

// storeOne reports the oldest kept store as done.
func (w *world) storeOne() {
	if len(w.stores) == 0 {
		return
	}
	st := w.stores[0]
	w.stores = w.stores[1:]
	w.take(w.g.Stored(w.now, st.Number))
}

// check holds the group's tables against each other.
func (w *world) check() {
	g := w.g
	if len(g.order) != len(g.members) {
		w.t.Fatalf("%d members in order, %d in the table", len(g.order), len(g.members))
	}
	for _, id := range g.order {
		m := g.members[id]
		if m == nil || m.id != id || m.isStatic() && g.static[m.instance] != id {
			w.t.Fatalf("member %s is %+v, static %v", id, m, g.static)
		}
		if m.sync != 0 && g.state != CompletingRebalance {
			w.t.Fatalf("%s waits for an assignment in state %s", id, g.state)
		}
		if m.join != 0 && g.state != PreparingRebalance {
			w.t.Fatalf("%s waits to join in state %s", id, g.state)
		}
	}
	for instance, id := range g.static {
		if m := g.members[id]; m == nil || m.instance != instance {
			w.t.Fatalf("instance %s stands for %s, which is %+v", instance, id, m)
		}
	}
	switch empty := len(g.members) == 0; {
	case empty != (g.state == Empty) && g.state != PreparingRebalance:
		w.t.Fatalf("%d members in state %s", len(g.members), g.state)
	case !empty && g.members[g.leader] == nil:
		w.t.Fatalf("leader %q is no member", g.leader)
	case (g.state == Stable || g.state == CompletingRebalance) && !g.knownToAll(g.protocol):
		w.t.Fatalf("protocol %q is not known to all", g.protocol)
	}
	if next := g.Next(); next.IsZero() && g.state != Empty {
		w.t.Fatalf("nothing will ever wake the group in state %s", g.state)
	}
}

// pass lets time go by in small steps.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(50*time.Millisecond, end.Sub(w.now)))
		w.take(w.g.Tick(w.now))
	}
}

// Whatever clients do, in whatever order: nobody is answered twice, the tables
// agree; and as soon as all behave, the group becomes stable, with everybody in
// it and the leader's assignment handed out.
func TestGroupsSettle(t *testing.T) {
	rounds := uint64(400)
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			generation := int32(0)
			for range 150 {
				w.act(w.clients[w.rng.IntN(len(w.clients))], w.rng.IntN(8) == 0)
				if w.rng.IntN(3) > 0 {
					w.storeOne()
				}
				w.pass(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
				if w.g.Generation() < generation {
					t.Fatalf("generation went back from %d to %d", generation, w.g.Generation())
				}
				generation = w.g.Generation()
			}
			w.settle()
		})
	}
}

// settle lets all clients behave, the gone ones come back too.
func (w *world) settle() {
	for _, c := range w.clients {
		if c.step == "gone" {
			c.step = "join"
		}
	}
	stable := func() bool {
		return w.g.State() == Stable && w.g.Members() == len(w.clients) && !slices.ContainsFunc(w.clients, func(c *playedClient) bool {
			return c.step != "stable" || c.generation != w.g.Generation()
		})
	}
	for end := w.now.Add(10 * time.Minute); !stable(); {
		if w.now.After(end) {
			for _, c := range w.clients {
				w.t.Logf("%+v", *c)
			}
			w.t.Fatalf("not stable after ten minutes: %s, generation %d, %d members, next %v, now %v, %+v", w.g.State(), w.g.Generation(), w.g.Members(), w.g.Next(), w.now, w.g)
		}
		for _, c := range w.clients {
			w.act(c, false)
		}
		w.storeOne()
		w.pass(500 * time.Millisecond)
	}
	for ticket, c := range w.waiting {
		if c != nil {
			w.t.Errorf("%s still waits for ticket %d", c.name, ticket)
		}
	}
}

// FuzzDecode: whatever is stored, a group that is loaded from it can be used.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"generation":2,"protocolType":"consumer","protocol":"range","leader":"a","members":[{"id":"a","rebalanceTimeoutMs":1,"sessionTimeoutMs":1,"protocols":[{"name":"range"}]}]}`))
	f.Add([]byte(`{"version":1,"generation":2}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := Decode(value)
		if err != nil {
			return
		}
		w := &world{t: t, now: epoch, waiting: map[Ticket]*playedClient{}}
		w.g = Load(epoch, "g", s, Settings{NewMemberTimeout: time.Minute})
		if _, err := w.g.Snapshot().Encode(); err != nil {
			t.Fatal(err)
		}
		for range 3 { // all members are silent: the group empties
			next := w.g.Next()
			if next.IsZero() {
				break
			}
			w.now = next
			out := w.g.Tick(next)
			for _, st := range []*Store{out.Store} {
				if st != nil {
					w.g.Stored(next, st.Number)
				}
			}
		}
	})
}
