package consumer

import (
	"slices"
	"time"

	"kanal/services/groups/internal/assignor"
)

// reconcile moves a member on towards its target. Two members never have the
// same partition: it gets only what nobody owns.
func (g *Group) reconcile(now time.Time, m *member, q *Heartbeat) {
	switch m.state {
	case memberStable:
		if m.epoch == g.targetEpoch {
			return
		}
	case memberRevoking:
		// As long as it does not say what it has, it may have anything.
		if !q.HasOwned || len(m.revoking.And(q.Owned)) > 0 {
			return
		}
	}
	kept := m.assigned.And(m.target)
	if lost := m.assigned.Minus(kept); len(lost) > 0 && (!q.HasOwned || len(lost.And(q.Owned)) > 0) {
		g.revoke(now, m, kept, lost)
		return
	}
	g.advance(m, kept)
}

// advance brings a member, who has let go what it had to, to the target's epoch
// with what it keeps and what is free.
func (g *Group) advance(m *member, kept assignor.Assignment) {
	epoch, state := m.epoch, m.state
	wanted := m.target.Minus(kept)
	// What is still its own here is of a revocation that has just ended.
	free := slices.DeleteFunc(slices.Clone(wanted), func(p assignor.Partition) bool { return g.owners[p] != "" && g.owners[p] != m.id })
	m.state = memberStable
	if len(free) < len(wanted) {
		m.state = memberWaiting
	}
	m.revokeBy = time.Time{}
	assigned := kept
	if len(free) > 0 {
		assigned = kept.Plus(free)
	}
	if m.epoch != g.targetEpoch {
		m.previous, m.epoch = m.epoch, g.targetEpoch
	}
	if epoch != m.epoch || state != m.state || len(m.revoking) > 0 || !assigned.Equal(m.assigned) {
		g.own(m, assigned, nil)
		g.dirty.member(m.id)
	}
}

// revoke asks a member to let partitions go. It stays at its epoch until it has,
// and has its rebalance timeout for it.
func (g *Group) revoke(now time.Time, m *member, kept, lost assignor.Assignment) {
	g.own(m, kept, lost)
	m.state, m.revokeBy = memberRevoking, now.Add(m.rebalance)
	g.dirty.member(m.id)
}
