// Package consumer is the consumer group of KIP-848 as a pure state machine:
// heartbeats and the time go in, answers and what is to be stored come out.
// There is no clock, no lock and no I/O in it; whoever owns a Group calls one
// method at a time. Its Kafka counterparts are ConsumerGroup, the consumer part
// of GroupMetadataManager, TargetAssignmentBuilder and CurrentAssignmentBuilder.
//
// Three epochs count. The group's grows with every change of members,
// subscriptions or topics. The target assignment's is that of the group when it
// was computed. A member's is that of the target that it has reached, and each
// goes there on its own: it gives up first what is no longer its own, and gets
// what the others have let go.
//
//	                   target without what it has
//	Stable ──────────────────────────────────────▶ Revoking
//	  ▲ ▲                                             │ it owns none of that
//	  │ └─────────────────────────────────────────────┤ any more: the target's
//	  │  all of the target is free                    ▼ epoch is its own
//	  └──────────────────────────────────────────── Waiting
package consumer

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kanal/services/groups/internal/assignor"
)

// State of a group. Its names are Kafka's, as ConsumerGroupDescribe shows them.
type State string

// States of a group.
const (
	Empty       State = "Empty"
	Assigning   State = "Assigning"   // the target is older than the group
	Reconciling State = "Reconciling" // members are on their way to the target
	Stable      State = "Stable"
)

// Epochs with a meaning of their own in requests.
const (
	JoinEpoch        = 0
	LeaveEpoch       = -1
	StaticLeaveEpoch = -2 // a static member that will come back; also its epoch until then
)

// Settings are the coordinator's settings that the machine needs.
type Settings struct {
	// Session is how long a silent member stays (group.consumer.session.timeout.ms).
	Session time.Duration
	// Assignors that are offered, the default first (group.consumer.assignors).
	Assignors []string
	// MaxSize is how many members a group may have (group.consumer.max.size); 0
	// for any number.
	MaxSize int
}

// Group is one group. It is not safe for concurrent use.
type Group struct {
	id       string
	settings Settings

	epoch       int32
	targetEpoch int32  // of the target assignment
	assignor    string // that made it
	topicsHash  uint64 // of the topics that it was made for
	members     map[string]*member
	static      map[string]string             // instance id to member id
	owners      map[assignor.Partition]string // who has a partition, or has yet to let it go

	regexes  map[string]*matches // of those that members have
	revision uint64              // of the topics that were looked at last
	looked   bool                // they were looked at since members' subscriptions changed

	dirty Changes
}

// New makes an empty group.
func New(id string, settings Settings) *Group {
	return &Group{
		id: id, settings: settings, assignor: settings.Assignors[0],
		members: make(map[string]*member), static: make(map[string]string),
		owners: make(map[assignor.Partition]string), regexes: make(map[string]*matches),
	}
}

// member is one member.
type member struct {
	id, instance, rack   string
	clientID, clientHost string
	rebalance            time.Duration
	topics               []string // in order
	regex                string
	assignor             string // that it prefers, if any

	epoch, previous int32
	state           memberState
	assigned        assignor.Assignment
	revoking        assignor.Assignment // has yet to be let go
	target          assignor.Assignment

	// told: the newest assignment was in an answer. Not after Load: nobody can know
	// what of another holder's answers arrived.
	told bool

	deadline time.Time // of its session
	revokeBy time.Time // of Revoking
}

// memberState is where a member is on its way to the target; see the package's
// drawing.
type memberState uint8

const (
	memberStable   memberState = iota
	memberRevoking             // UNREVOKED_PARTITIONS
	memberWaiting              // UNRELEASED_PARTITIONS
)

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// Epoch is the group's epoch.
func (g *Group) Epoch() int32 { return g.epoch }

// Members is the number of members.
func (g *Group) Members() int { return len(g.members) }

// State is the group's state.
func (g *Group) State() State {
	switch {
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.targetEpoch:
		return Assigning
	}
	for _, m := range g.members {
		if m.state != memberStable || m.epoch != g.targetEpoch {
			return Reconciling
		}
	}
	return Stable
}

// inOrder lists the members by id.
func (g *Group) inOrder() []*member {
	out := make([]*member, 0, len(g.members))
	for _, m := range g.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *member) int { return cmp.Compare(a.id, b.id) })
	return out
}

// bump starts a new epoch of the group.
func (g *Group) bump() {
	g.epoch++
	g.dirty.Group = true
}

// remove forgets a member; what it had is free.
func (g *Group) remove(m *member) {
	g.own(m, nil, nil)
	delete(g.members, m.id)
	if g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	g.looked = false
	g.dirty.member(m.id)
}

// own changes what a member has and has yet to let go.
func (g *Group) own(m *member, assigned, revoking assignor.Assignment) {
	for _, all := range []assignor.Assignment{m.assigned, m.revoking} {
		for _, p := range all {
			if g.owners[p] == m.id {
				delete(g.owners, p)
			}
		}
	}
	m.assigned, m.revoking = assigned, revoking
	for _, all := range []assignor.Assignment{assigned, revoking} {
		for _, p := range all {
			g.owners[p] = m.id
		}
	}
}

// Subscribed tells whether a member reads a topic, or may: before the first
// heartbeat after Load nobody has resolved regular expressions.
func (g *Group) Subscribed(topic string) bool {
	for _, m := range g.members {
		if _, named := slices.BinarySearch(m.topics, topic); named || m.regex != "" && (!g.looked || g.matches(m.regex).has(topic)) {
			return true
		}
	}
	return false
}

// preferred is the assignor that most members ask for, of equal ones the one
// that comes first in the settings; the default if nobody asks.
func (g *Group) preferred() string {
	votes := make(map[string]int)
	for _, m := range g.members {
		if m.assignor != "" {
			votes[m.assignor]++
		}
	}
	best := g.settings.Assignors[0]
	for _, name := range g.settings.Assignors {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// sorted gives names in order, each once.
func sorted(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.Clone(name) // the frame that it aliases is large and the member stays
	}
	slices.Sort(out)
	return slices.Compact(out)
}
