package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// replace gives a static member that comes back without an id a new one. In a
// stable group that is no reason to rebalance: its partitions were kept for it
// (KIP-345).
func (g *Group) replace(now time.Time, j *Join, m *member) {
	leaderBefore := g.leader
	g.fence(m)
	delete(g.members, m.id)
	if g.mustSync[m.id] {
		delete(g.mustSync, m.id)
		g.mustSync[j.NewID] = true
	}
	g.order[slices.Index(g.order, m.id)] = j.NewID
	if g.leader == m.id {
		g.leader = j.NewID
	}
	m.id = j.NewID
	g.members[m.id], g.static[m.instance] = m, m.id
	g.update(j, m)
	m.deadline = now.Add(m.session)
	switch g.state {
	case Stable:
		g.replaceInStable(now, j, m, leaderBefore)
	case CompletingRebalance:
		// The leader may be assigning to the old id at this moment.
		g.prepareRebalance(now)
	}
}

// fence ends what the predecessor of a static member waits for.
func (g *Group) fence(m *member) {
	if m.join != 0 {
		g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: m.join, Err: kerr.FencedInstanceID, MemberID: m.id, Generation: -1})
		m.join = 0
	}
	if m.sync != 0 {
		g.out.Syncs = append(g.out.Syncs, SyncAnswer{Ticket: m.sync, Err: kerr.FencedInstanceID})
		m.sync = 0
	}
}

// replaceInStable stores the new id and then answers without a rebalance,
// unless the member's protocols would change the group's choice.
func (g *Group) replaceInStable(now time.Time, j *Join, m *member, leaderBefore string) {
	if g.choose() != g.protocol {
		g.prepareRebalance(now)
		return
	}
	m.join, m.isNew = 0, false
	a := JoinAnswer{
		Ticket: j.Ticket, MemberID: m.id, Generation: g.generation,
		Protocol: g.protocol, Type: g.protocolType, Leader: leaderBefore,
	}
	// A leader must not assign now: a stable group would not hand the result
	// out. Since v9 it can be told so; before, it is told its old id as leader,
	// in which it does not recognize itself.
	if j.CanSkip {
		if a.Leader = g.leader; m.id == g.leader {
			a.Skip, a.Members = true, g.joinMembers()
		}
	}
	g.wantStore(store{join: &a}, g.Snapshot())
}
