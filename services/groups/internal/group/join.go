package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Join is a JoinGroup request.
type Join struct {
	Ticket               Ticket
	MemberID             string // empty for a member that has none yet
	NewID                string // the id it gets if it has none
	InstanceID           string // empty for a dynamic member
	ClientID, ClientHost string
	Session, Rebalance   time.Duration
	ProtocolType         string
	Protocols            []Protocol
	// RequireKnownID: a dynamic member without an id is given one and must come
	// again with it (v4, KIP-394).
	RequireKnownID bool
	// CanSkip: the answer can say that a leader need not assign (v9, KIP-814).
	CanSkip bool
}

// JoinAnswer answers a Join.
type JoinAnswer struct {
	Ticket     Ticket
	Err        *kerr.Error // nil for success
	MemberID   string
	Generation int32
	Protocol   string
	Type       string
	Leader     string
	Skip       bool
	Members    []JoinMember // for the leader
}

// JoinMember is a member as its leader sees it.
type JoinMember struct {
	ID, InstanceID string
	Metadata       []byte
}

// Join takes a member in. The answer is in the output now, or in that of a
// later step.
func (g *Group) Join(now time.Time, j *Join) Output {
	if e := g.join(now, j); e != nil {
		g.refuseJoin(j, e)
	}
	g.tryComplete(now)
	return g.take()
}

func (g *Group) refuseJoin(j *Join, e *kerr.Error) {
	g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: j.Ticket, Err: e, MemberID: j.MemberID, Generation: -1})
}

func (g *Group) join(now time.Time, j *Join) *kerr.Error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	if j.MemberID != "" && len(g.members) == 0 && g.pending[j.MemberID].IsZero() {
		return kerr.UnknownMemberID // also for a group that did not exist
	}
	if !g.supports(j.ProtocolType, j.Protocols) {
		return kerr.InconsistentGroupProtocol
	}
	if j.MemberID == "" {
		return g.joinNew(now, j)
	}
	if _, ok := g.pending[j.MemberID]; ok {
		if j.InstanceID != "" {
			return kerr.UnknownMemberID // ids given for asking belong to dynamic members
		}
		g.add(now, j, j.MemberID, true)
		return nil
	}
	m, e := g.current(j.MemberID, j.InstanceID)
	if e != nil {
		return e
	}
	return g.joinAgain(now, j, m)
}

// current finds a member and checks that it is the one that its instance id
// stands for.
func (g *Group) current(memberID, instanceID string) (*member, *kerr.Error) {
	if instanceID != "" {
		switch now, ok := g.static[instanceID]; {
		case !ok:
			return nil, kerr.UnknownMemberID
		case now != memberID:
			return nil, kerr.FencedInstanceID
		}
	}
	m := g.members[memberID]
	if m == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

func (g *Group) joinNew(now time.Time, j *Join) *kerr.Error {
	switch old := g.static[j.InstanceID]; {
	case j.InstanceID != "" && old != "":
		g.replace(now, j, g.members[old])
	case j.InstanceID == "" && j.RequireKnownID:
		g.pending[j.NewID] = now.Add(j.Session)
		g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: j.Ticket, Err: kerr.MemberIDRequired, MemberID: j.NewID, Generation: -1})
	default:
		g.add(now, j, j.NewID, false)
	}
	return nil
}

// add makes a member of a join and starts a rebalance.
func (g *Group) add(now time.Time, j *Join, id string, told bool) {
	delete(g.pending, id)
	if len(g.members) == 0 {
		g.protocolType = j.ProtocolType
	}
	m := &member{id: id, instance: j.InstanceID, clientID: j.ClientID, clientHost: j.ClientHost, isNew: true}
	m.told = told || m.isStatic() // a static one is found again by its instance id
	g.members[id], g.emptySince = m, time.Time{}
	g.order = append(g.order, id)
	if m.isStatic() {
		g.static[m.instance] = id
	}
	if g.leader == "" {
		g.leader = id
	}
	g.update(j, m)
	// A client that went away during a long rebalance and comes back as a new
	// member would leave one behind each time: their stay is bounded.
	m.deadline = now.Add(max(g.settings.NewMemberTimeout, m.session))
	g.newMember = g.newMember || g.initial
	g.prepareRebalance(now)
}

// update takes what a join says into a member and parks the join.
func (g *Group) update(j *Join, m *member) {
	if m.join != 0 { // an earlier join of the same member, on another connection
		g.out.Joins = append(g.out.Joins, JoinAnswer{Ticket: m.join, Err: kerr.RebalanceInProgress, MemberID: m.id, Generation: -1})
	}
	m.join = j.Ticket
	m.protocols, m.session, m.rebalance = j.Protocols, j.Session, j.Rebalance
	m.clientID, m.clientHost = j.ClientID, j.ClientHost
}

// joinAgain is a join of a member that is one already.
func (g *Group) joinAgain(now time.Time, j *Join, m *member) *kerr.Error {
	switch g.state {
	case PreparingRebalance:
		g.update(j, m)
		m.deadline = now.Add(m.session)
		return nil
	case CompletingRebalance:
		// With the same metadata it may have missed the answer to its join.
		if m.matches(j.Protocols) {
			g.answerJoin(now, j.Ticket, m)
			return nil
		}
	case Stable:
		// A leader joins to have partitions assigned anew; a follower without
		// news only lost its answer.
		if m.id != g.leader && m.matches(j.Protocols) {
			g.answerJoin(now, j.Ticket, m)
			return nil
		}
	default:
		return kerr.UnknownMemberID
	}
	g.update(j, m)
	m.deadline = now.Add(m.session)
	g.prepareRebalance(now)
	return nil
}

// answerJoin tells a member the current generation.
func (g *Group) answerJoin(now time.Time, ticket Ticket, m *member) {
	m.deadline = now.Add(m.session)
	m.isNew, m.told = false, true
	g.out.Joins = append(g.out.Joins, g.joined(ticket, m))
}

func (g *Group) joined(ticket Ticket, m *member) JoinAnswer {
	a := JoinAnswer{
		Ticket: ticket, MemberID: m.id, Generation: g.generation,
		Protocol: g.protocol, Type: g.protocolType, Leader: g.leader,
	}
	if m.id == g.leader {
		a.Members = g.joinMembers()
	}
	return a
}

func (g *Group) joinMembers() []JoinMember {
	out := make([]JoinMember, 0, len(g.order))
	for _, id := range g.order {
		m := g.members[id]
		out = append(out, JoinMember{ID: m.id, InstanceID: m.instance, Metadata: m.metadata(g.protocol)})
	}
	return out
}
