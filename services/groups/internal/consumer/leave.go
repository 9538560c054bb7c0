package consumer

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// leave lets a member go: for good, or a static one until it comes back.
func (g *Group) leave(q *Heartbeat) Answer {
	if q.InstanceID != nil {
		if refused := g.checkInstance(q); refused.Err != nil {
			return refused
		}
	}
	m := g.members[q.MemberID]
	if m == nil {
		return refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", q.MemberID, g.id)
	}
	switch {
	case q.Epoch == LeaveEpoch:
		g.fence(m)
	case m.instance == "": // franz-go leaves its instance id out, which is no harm
		return refuse(kerr.InvalidRequest, "InstanceId can't be null.")
	default:
		g.leaveForNow(m)
	}
	return Answer{MemberID: q.MemberID, Epoch: q.Epoch}
}

// leaveForNow keeps a static member's partitions for it as long as its session
// lasts. What it had yet to let go it has let go.
func (g *Group) leaveForNow(m *member) {
	g.own(m, m.assigned, nil)
	m.previous, m.epoch, m.state, m.revokeBy = m.epoch, StaticLeaveEpoch, memberStable, time.Time{}
	g.dirty.member(m.id)
}

// fence removes a member, for whose partitions a new target is needed.
func (g *Group) fence(m *member) {
	g.remove(m)
	g.bump()
}

// joinStatic is a static member that is new, has lost its epoch, or comes back
// under a new id: then it is the one that left, with all its partitions.
func (g *Group) joinStatic(q *Heartbeat) (*member, Answer) {
	id, known := g.static[*q.InstanceID]
	old := g.members[id]
	switch {
	case !known && g.members[q.MemberID] != nil:
		return nil, refuse(kerr.InvalidRequest, "Member %s is a member without instance id %s.", q.MemberID, *q.InstanceID)
	case !known:
		return g.add(q)
	case id == q.MemberID:
		if old.epoch == StaticLeaveEpoch {
			g.comeBack(old)
		}
		return old, Answer{}
	case old.epoch != StaticLeaveEpoch:
		return nil, refuse(kerr.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by member %s.", q.MemberID, *q.InstanceID, id)
	case g.members[q.MemberID] != nil:
		return nil, refuse(kerr.InvalidRequest, "Member %s is a member without instance id %s.", q.MemberID, *q.InstanceID)
	}
	g.rename(old, strings.Clone(q.MemberID))
	g.comeBack(old)
	return old, Answer{}
}

// rename gives a static member another id. It keeps what it has.
func (g *Group) rename(m *member, id string) {
	assigned := m.assigned
	g.own(m, nil, nil)
	delete(g.members, m.id)
	g.dirty.member(m.id)
	m.id = id
	g.members[id], g.static[m.instance] = m, id
	g.own(m, assigned, nil)
}

// comeBack gives a static member a start at epoch 0, from where the target's is
// reached at once.
func (g *Group) comeBack(m *member) {
	m.epoch, m.previous = JoinEpoch, JoinEpoch
	g.dirty.member(m.id)
}

// Remove removes a member for an administrator: by instance id, by id, or both.
func (g *Group) Remove(memberID, instanceID string) *kerr.Error {
	if instanceID != "" {
		switch id, ok := g.static[instanceID]; {
		case !ok:
			return kerr.UnknownMemberID
		case memberID != "" && memberID != id:
			return kerr.FencedInstanceID
		default:
			memberID = id
		}
	}
	m := g.members[memberID]
	if m == nil {
		return kerr.UnknownMemberID
	}
	g.fence(m)
	return nil
}

// CheckCommit tells whether a member may commit offsets by a version of
// OffsetCommit (ConsumerGroup.validateOffsetCommit). Without member and epoch,
// commits are for groups without members.
func (g *Group) CheckCommit(memberID string, epoch int32, version int16) *kerr.Error {
	if epoch < 0 && len(g.members) == 0 {
		return nil
	}
	e := g.checkMember(memberID, epoch)
	if e != kerr.UnknownMemberID && version < 9 {
		return kerr.UnsupportedVersion
	}
	return e
}

// CheckFetch tells whether a member may fetch offsets; everybody may who names
// no member (ConsumerGroup.validateOffsetFetch).
func (g *Group) CheckFetch(memberID string, epoch int32) *kerr.Error {
	if memberID == "" && epoch < 0 {
		return nil
	}
	return g.checkMember(memberID, epoch)
}

func (g *Group) checkMember(memberID string, epoch int32) *kerr.Error {
	switch m := g.members[memberID]; {
	case m == nil:
		return kerr.UnknownMemberID
	case m.epoch != epoch:
		return kerr.StaleMemberEpoch
	}
	return nil
}
