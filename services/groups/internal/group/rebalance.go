package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// prepareRebalance starts a rebalance, unless one is being prepared.
func (g *Group) prepareRebalance(now time.Time) {
	if g.state == PreparingRebalance {
		return
	}
	if g.state == CompletingRebalance {
		g.dropAssignment(kerr.RebalanceInProgress)
	}
	clear(g.mustSync)
	g.initial, g.newMember = g.state == Empty, false
	g.joinDeadline = now.Add(g.RebalanceTimeout())
	if g.initial {
		g.joinDeadline = now.Add(g.settings.InitialDelay)
		g.initialLeft = max(g.RebalanceTimeout()-g.settings.InitialDelay, 0)
	}
	g.state = PreparingRebalance
}

// dropAssignment answers all who wait for the assignment with an error.
func (g *Group) dropAssignment(e *kerr.Error) {
	for _, id := range g.order {
		m := g.members[id]
		m.assignment = nil
		if m.sync != 0 {
			g.out.Syncs = append(g.out.Syncs, SyncAnswer{Ticket: m.sync, Err: e})
			m.sync = 0
		}
	}
}

// tryComplete ends the preparation as soon as everybody has joined. The first
// rebalance of an empty group waits for its delay all the same: who comes first
// cannot know who is yet to come.
func (g *Group) tryComplete(now time.Time) {
	if g.state != PreparingRebalance || g.initial && now.Before(g.joinDeadline) || len(g.pending) > 0 {
		return
	}
	for _, m := range g.members {
		if m.join == 0 {
			return
		}
	}
	g.completeJoin(now)
}

// joinTimeout is the end of the time to join.
func (g *Group) joinTimeout(now time.Time) {
	if g.initial && g.newMember && g.initialLeft > 0 { // more may come behind the one that just came
		delay := min(g.settings.InitialDelay, g.initialLeft)
		g.initialLeft -= delay
		g.newMember = false
		g.joinDeadline = now.Add(delay)
		return
	}
	g.completeJoin(now)
}

// completeJoin starts the next generation with those who joined. Static members
// stay although they did not: their session decides.
func (g *Group) completeJoin(now time.Time) {
	for _, m := range g.inOrder() {
		if m.join == 0 && !m.isStatic() {
			g.removeMember(m)
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		g.initial = false
		g.joinDeadline = now.Add(g.RebalanceTimeout()) // wait on for the static ones
		return
	}
	g.generation++
	g.initial = false
	if len(g.members) == 0 {
		g.becomeEmpty(now)
		return
	}
	g.protocol = g.choose()
	g.state = CompletingRebalance
	g.save = true // so that a holder that comes after knows who was told what
	g.syncDeadline = now.Add(g.RebalanceTimeout())
	for _, m := range g.inOrder() {
		g.mustSync[m.id] = true
		m.assignment = nil
		if ticket := m.join; ticket != 0 {
			m.join = 0
			g.answerJoin(now, ticket, m)
		}
	}
}

// electLeader makes sure that the leader is among those who joined; false when
// nobody did.
func (g *Group) electLeader() bool {
	if m := g.members[g.leader]; m != nil && m.join != 0 {
		return true
	}
	for _, id := range g.order {
		if g.members[id].join != 0 {
			g.leader = id
			return true
		}
	}
	return false
}

// becomeEmpty ends a rebalance that nobody joined. The generation is stored, so
// that the next members do not meet an old one again.
func (g *Group) becomeEmpty(now time.Time) {
	g.emptySince = now
	g.state, g.protocol, g.leader = Empty, "", ""
	g.save = true
}

// inOrder lists the members in the order they joined.
func (g *Group) inOrder() []*member {
	out := make([]*member, len(g.order))
	for i, id := range g.order {
		out[i] = g.members[id]
	}
	return out
}

// leave removes a member and lets the group go on without it.
func (g *Group) leave(now time.Time, m *member) {
	if m.join != 0 {
		g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: m.join, Err: kerr.UnknownMemberID, MemberID: m.id, Generation: -1})
	}
	if m.sync != 0 {
		g.out.Syncs = append(g.out.Syncs, SyncAnswer{Ticket: m.sync, Err: kerr.UnknownMemberID})
	}
	g.removeMember(m)
	g.save = true // a holder that comes after would wait for it
	if g.state == Stable || g.state == CompletingRebalance {
		g.prepareRebalance(now)
	}
	g.tryComplete(now)
}
