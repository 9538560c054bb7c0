package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Sync is a SyncGroup request.
type Sync struct {
	Ticket     Ticket
	MemberID   string
	InstanceID string
	Generation int32
	Type       *string // v5, if the client says
	Protocol   *string // v5, if the client says
	Assignment map[string][]byte
}

// SyncAnswer answers a Sync.
type SyncAnswer struct {
	Ticket         Ticket
	Err            *kerr.Error // nil for success
	Type, Protocol string
	Assignment     []byte
}

// Sync takes the leader's assignment, or waits for it.
func (g *Group) Sync(now time.Time, s *Sync) Output {
	if e := g.sync(now, s); e != nil {
		g.out.Syncs = append(g.out.Syncs, SyncAnswer{Ticket: s.Ticket, Err: e})
	}
	return g.take()
}

func (g *Group) sync(now time.Time, s *Sync) *kerr.Error {
	m, e := g.checkGeneration(s.MemberID, s.InstanceID, s.Generation)
	switch {
	case e != nil:
		return e
	case s.Type != nil && *s.Type != g.protocolType, s.Protocol != nil && *s.Protocol != g.protocol:
		return kerr.InconsistentGroupProtocol
	}
	switch g.state {
	case Stable:
		m.deadline = now.Add(m.session)
		delete(g.mustSync, m.id)
		g.out.Syncs = append(g.out.Syncs, g.synced(s.Ticket, m))
		return nil
	case CompletingRebalance:
		g.parkSync(now, s, m)
		return nil
	case PreparingRebalance:
		return kerr.RebalanceInProgress
	}
	return kerr.UnknownMemberID
}

// checkGeneration is what every request of a member is held against.
func (g *Group) checkGeneration(memberID, instanceID string, generation int32) (*member, *kerr.Error) {
	if g.state == Dead {
		return nil, kerr.CoordinatorNotAvailable
	}
	m, e := g.current(memberID, instanceID)
	if e == nil && generation != g.generation {
		return nil, kerr.IllegalGeneration
	}
	return m, e
}

// parkSync lets a member wait. The leader's assignment is stored first, then
// handed out; a second one of an impatient leader changes nothing.
func (g *Group) parkSync(now time.Time, s *Sync, m *member) {
	if m.sync != 0 { // an earlier sync of the same member, on another connection
		g.out.Syncs = append(g.out.Syncs, SyncAnswer{Ticket: m.sync, Err: kerr.RebalanceInProgress})
	}
	m.sync = s.Ticket
	m.deadline = now.Add(m.session)
	delete(g.mustSync, m.id)
	if m.id != g.leader || g.storing() {
		return
	}
	assignment := make(map[string][]byte, len(g.members))
	for id := range g.members {
		assignment[id] = s.Assignment[id] // nothing, for those whom the leader left out
	}
	snapshot := g.Snapshot()
	snapshot.Rebalancing = false
	for i := range snapshot.Members {
		snapshot.Members[i].Assignment = assignment[snapshot.Members[i].ID]
	}
	g.wantStore(store{assignment: assignment}, snapshot)
}

// storing tells whether this generation's assignment is being stored.
func (g *Group) storing() bool {
	for i := range g.stores {
		if g.stores[i].assignment != nil && g.stores[i].generation == g.generation {
			return true
		}
	}
	return false
}

// becomeStable hands the stored assignment out.
func (g *Group) becomeStable(now time.Time, assignment map[string][]byte) {
	g.state = Stable
	for _, m := range g.inOrder() {
		m.assignment = assignment[m.id]
		if m.sync != 0 {
			m.deadline = now.Add(m.session)
			g.out.Syncs = append(g.out.Syncs, g.synced(m.sync, m))
			m.sync = 0
		}
	}
}

func (g *Group) synced(ticket Ticket, m *member) SyncAnswer {
	return SyncAnswer{Ticket: ticket, Type: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}
