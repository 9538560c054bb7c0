package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Heartbeat keeps a member's session alive; nil for a stable group.
func (g *Group) Heartbeat(now time.Time, memberID, instanceID string, generation int32) *kerr.Error {
	m, e := g.checkGeneration(memberID, instanceID, generation)
	if e != nil {
		return e
	}
	switch g.state {
	case Stable, CompletingRebalance:
		m.deadline = now.Add(m.session)
		return nil
	case PreparingRebalance:
		if !m.isNew { // a new one's stay is bounded otherwise
			m.deadline = now.Add(m.session)
		}
		return kerr.RebalanceInProgress
	}
	return kerr.UnknownMemberID
}

// Leave removes one member: by id, by instance id, or by both.
func (g *Group) Leave(now time.Time, memberID, instanceID string) (Output, *kerr.Error) {
	e := g.leaveRequest(now, memberID, instanceID)
	return g.take(), e
}

func (g *Group) leaveRequest(now time.Time, memberID, instanceID string) *kerr.Error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	if memberID == "" && instanceID != "" {
		memberID = g.static[instanceID]
	}
	if _, ok := g.pending[memberID]; ok && instanceID == "" {
		delete(g.pending, memberID)
		g.tryComplete(now)
		return nil
	}
	m, e := g.current(memberID, instanceID)
	if e == nil {
		g.leave(now, m)
	}
	return e
}

// CheckCommit tells whether a member may commit offsets (ClassicGroup's
// validateOffsetCommit), and keeps its session alive. Without generation and
// member, commits are for groups without members.
func (g *Group) CheckCommit(now time.Time, memberID, instanceID string, generation int32) *kerr.Error {
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable
	case generation < 0 && g.state == Empty:
		return nil
	case generation < 0 && memberID == "" && instanceID == "":
		return kerr.UnknownMemberID
	}
	m, e := g.checkGeneration(memberID, instanceID, generation)
	switch {
	case e != nil:
		return e
	case g.state == CompletingRebalance:
		return kerr.RebalanceInProgress
	case !m.isNew:
		m.deadline = now.Add(m.session)
	}
	return nil
}

// Delete makes an empty group dead; it refuses any other.
func (g *Group) Delete() *kerr.Error {
	switch {
	case g.state == Dead:
		return kerr.GroupIDNotFound
	case g.state != Empty || len(g.pending) > 0:
		return kerr.NonEmptyGroup
	}
	g.state = Dead
	return nil
}

// Revive takes back a Delete that did not get through.
func (g *Group) Revive() {
	if g.state == Dead {
		g.state = Empty
	}
}

// Abandon tells that nobody waits for the answer of a ticket any more: the
// client is gone. A member that never learned its id cannot come back; others
// have a session's time to.
func (g *Group) Abandon(now time.Time, ticket Ticket) Output {
	for _, m := range g.inOrder() {
		switch ticket {
		case m.sync:
			m.sync = 0
		case m.join:
			m.join = 0
			m.isNew = false
			m.deadline = now.Add(m.session)
			if !m.told {
				g.leave(now, m)
			}
		}
	}
	return g.take()
}

// Expel answers everybody who waits with an error: the group is served
// elsewhere from now on, or is loaded again.
func (g *Group) Expel(e *kerr.Error) Output {
	for _, m := range g.inOrder() {
		if m.join != 0 {
			g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: m.join, Err: e, MemberID: m.id, Generation: -1})
		}
		if m.sync != 0 {
			g.out.Syncs = append(g.out.Syncs, SyncAnswer{Ticket: m.sync, Err: e})
		}
		m.join, m.sync = 0, 0
	}
	for _, s := range g.stores {
		if s.join != nil {
			g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: s.join.Ticket, Err: e, MemberID: s.join.MemberID, Generation: -1})
		}
	}
	g.stores, g.save = nil, false
	g.state = Dead
	return g.take()
}
