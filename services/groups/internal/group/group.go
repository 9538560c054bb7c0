// Package group is Kafka's classic consumer group as a pure state machine:
// requests and the time go in, answers and what is to be stored come out.
// There is no clock, no lock and no I/O in it; whoever owns a Group calls one
// method at a time. Its Kafka counterparts are GroupMetadata and
// GroupCoordinator (in Kafka 4, ClassicGroup and the classic part of
// GroupMetadataManager).
//
//	          first join                        all joined, or time is up
//	  Empty ───────────▶ PreparingRebalance ─────────────────────▶ CompletingRebalance
//	    ▲                   ▲   │ nobody is left    join, leave,    │   │
//	    └───────────────────┼───┘                   expiry, no sync │   │ leader's assignment
//	                        ├───────────────────────────────────────┘   │ is stored
//	                        │     join, leave, expiry                   ▼
//	                        └──────────────────────────────────────── Stable
//
//	Dead: deleted; from any state
package group

import (
	"bytes"
	"slices"
	"time"
)

// State of a group. Its names are Kafka's, as DescribeGroups shows them.
type State uint8

// States; see the package's drawing.
const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
	Dead
)

var stateNames = [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}

// String is the state's name in Kafka.
func (s State) String() string { return stateNames[s] }

// Ticket names a request whose answer comes later. Whoever hands a request in
// chooses it, never zero.
type Ticket uint64

// Settings are the coordinator's settings that the machine needs.
type Settings struct {
	// InitialDelay is how long the first rebalance of an empty group waits for
	// more members (group.initial.rebalance.delay.ms).
	InitialDelay time.Duration
	// NewMemberTimeout bounds how long a new member stays in a rebalance that
	// does not end (GroupCoordinator.NewMemberJoinTimeoutMs).
	NewMemberTimeout time.Duration
}

// Group is one group. It is not safe for concurrent use.
type Group struct {
	id       string
	settings Settings

	state        State
	generation   int32
	protocolType string
	protocol     string // chosen; empty before the first rebalance ends
	leader       string
	members      map[string]*member
	emptySince   time.Time         // when the last member went; zero if there never was one
	order        []string          // member ids in the order they joined
	static       map[string]string // instance id to member id
	pending      map[string]time.Time

	// of PreparingRebalance
	joinDeadline time.Time
	initialLeft  time.Duration // of an initial rebalance: what may still be added to its delay
	initial      bool
	newMember    bool // somebody joined during the initial delay

	// of CompletingRebalance, and of Stable as long as not all have asked
	syncDeadline time.Time
	mustSync     map[string]bool

	stores    []store
	lastStore uint64
	save      bool // what is stored is out of date at the end of this step
	out       Output
}

// member is one member, with what it waits for.
type member struct {
	id, instance         string
	clientID, clientHost string
	rebalance, session   time.Duration
	protocols            []Protocol
	assignment           []byte

	deadline time.Time // of its session
	join     Ticket    // parked join, or 0
	sync     Ticket    // parked sync, or 0
	isNew    bool      // has never been told the outcome of a join
	told     bool      // knows its id
}

// Protocol is one way of assigning partitions that a member supports, with its
// opaque metadata.
type Protocol struct {
	Name     string
	Metadata []byte
}

// New makes an empty group.
func New(id string, settings Settings) *Group {
	return &Group{
		id: id, settings: settings,
		members: make(map[string]*member), static: make(map[string]string),
		pending: make(map[string]time.Time), mustSync: make(map[string]bool),
	}
}

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// State is the group's state.
func (g *Group) State() State { return g.state }

// Generation counts the completed rebalances.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType is what the members have in common ("consumer", "connect").
func (g *Group) ProtocolType() string { return g.protocolType }

// Protocol is the chosen protocol, empty when there is none.
func (g *Group) Protocol() string { return g.protocol }

// Members is the number of members, without those that were only given an id.
func (g *Group) Members() int { return len(g.members) }

// EmptySince is when the last member went; zero for a group that has members or
// never had any.
func (g *Group) EmptySince() time.Time { return g.emptySince }

// Idle tells whether nothing would be lost with the group but what is stored.
func (g *Group) Idle() bool {
	return (g.state == Empty || g.state == Dead) && len(g.pending) == 0 && len(g.stores) == 0
}

// Output is what a step asks its caller to do, in this order.
type Output struct {
	// Store is set when the group must be stored. If it has a number, Stored has
	// to be called with that when it is.
	Store *Store
	Joins []JoinAnswer
	Syncs []SyncAnswer
}

// Store is a state of the group to be stored.
type Store struct {
	Number   uint64
	Snapshot Snapshot
}

// take returns and clears what the current step has to say.
func (g *Group) take() Output {
	if g.save && g.out.Store == nil {
		g.out.Store = &Store{Snapshot: g.Snapshot()}
	}
	out := g.out
	g.out, g.save = Output{}, false
	return out
}

// store is a Store that has not been reported as done.
type store struct {
	number     uint64
	generation int32
	assignment map[string][]byte // of a leader's sync
	join       *JoinAnswer       // of a static member's return
}

func (g *Group) wantStore(s store, snapshot Snapshot) {
	g.lastStore++
	s.number, s.generation = g.lastStore, g.generation
	g.stores = append(g.stores, s)
	g.out.Store = &Store{Number: s.number, Snapshot: snapshot}
}

// Stored tells that what an Output asked to store is stored.
func (g *Group) Stored(now time.Time, number uint64) Output {
	i := slices.IndexFunc(g.stores, func(s store) bool { return s.number == number })
	if i < 0 {
		return g.take()
	}
	s := g.stores[i]
	g.stores = slices.Delete(g.stores, i, i+1)
	if s.join != nil {
		g.out.Joins = append(g.out.Joins, *s.join)
	}
	// A join may have started the next rebalance meanwhile: then this
	// assignment is history, and whoever waited for it has been told.
	if s.assignment != nil && g.state == CompletingRebalance && s.generation == g.generation {
		g.becomeStable(now, s.assignment)
	}
	return g.take()
}

// removeMember removes a member from all tables; the oldest one left leads.
func (g *Group) removeMember(m *member) {
	delete(g.members, m.id)
	delete(g.mustSync, m.id)
	if g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	g.order = slices.DeleteFunc(g.order, func(id string) bool { return id == m.id })
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0]
		}
	}
}

// isStatic tells whether the member has an instance id (KIP-345).
func (m *member) isStatic() bool { return m.instance != "" }

// metadata is what the member says under a protocol.
func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// supports tells whether a member with these protocols can be in the group:
// some protocol must be left that all members know.
func (g *Group) supports(protocolType string, protocols []Protocol) bool {
	if len(g.members) == 0 {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return g.knownToAll(p.Name) })
}

func (g *Group) knownToAll(protocol string) bool {
	for _, m := range g.members {
		if !slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol }) {
			return false
		}
	}
	return true
}

// choose elects the protocol: every member votes for the first of its own that
// all know; the most votes win, of equal ones the first in the oldest member's
// order.
func (g *Group) choose() string {
	votes := make(map[string]int)
	var candidates []string
	for _, id := range g.order {
		for _, p := range g.members[id].protocols {
			if g.knownToAll(p.Name) {
				if votes[p.Name]++; votes[p.Name] == 1 {
					candidates = append(candidates, p.Name)
				}
				break
			}
		}
	}
	best := ""
	for _, c := range candidates {
		if best == "" || votes[c] > votes[best] {
			best = c
		}
	}
	return best
}

// RebalanceTimeout is the longest of all members'.
func (g *Group) RebalanceTimeout() (longest time.Duration) {
	for _, m := range g.members {
		longest = max(longest, m.rebalance)
	}
	return longest
}
