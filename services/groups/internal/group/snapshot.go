package group

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kanal/libs/future"
)

// Snapshot is what is stored of a group: its members and their assignment, as
// in Kafka's GroupMetadataValue, but with all protocols of a member, so that a
// holder that loads it decides as the one before would have. Kafka stores a
// group at the end of a rebalance only; here also when members have been told a
// generation, and when one is gone: a holder that comes between would otherwise
// refuse the ones and wait for the other.
type Snapshot struct {
	Version      int              `json:"version"`
	Generation   int32            `json:"generation"`
	Rebalancing  bool             `json:"rebalancing,omitempty"` // members, but no assignment that holds
	ProtocolType string           `json:"protocolType,omitempty"`
	Protocol     string           `json:"protocol,omitempty"`
	Leader       string           `json:"leader,omitempty"`
	Members      []SnapshotMember `json:"members,omitempty"`      // in the order they joined
	EmptySince   int64            `json:"emptySinceMs,omitempty"` // when the last member went: offsets expire from then on
}

// SnapshotMember is one member. Timeouts are in milliseconds.
type SnapshotMember struct {
	ID         string             `json:"id"`
	InstanceID string             `json:"instanceId,omitempty"`
	ClientID   string             `json:"clientId,omitempty"`
	ClientHost string             `json:"clientHost,omitempty"`
	Rebalance  int64              `json:"rebalanceTimeoutMs"`
	Session    int64              `json:"sessionTimeoutMs"`
	Protocols  []SnapshotProtocol `json:"protocols"`
	Assignment []byte             `json:"assignment,omitempty"`
}

// SnapshotProtocol is one protocol of a member.
type SnapshotProtocol struct {
	Name     string `json:"name"`
	Metadata []byte `json:"metadata,omitempty"`
}

const snapshotVersion = 1

// ErrInvalidSnapshot is wrapped by what is wrong with a stored group.
var ErrInvalidSnapshot = errors.New("group: invalid snapshot")

// Snapshot is the group as it would be stored now. Members that do not know
// their id are left out: they cannot come back with it.
func (g *Group) Snapshot() Snapshot {
	s := Snapshot{Version: snapshotVersion, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader}
	for _, m := range g.inOrder() {
		if !m.told {
			continue
		}
		sm := SnapshotMember{
			ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			Rebalance: m.rebalance.Milliseconds(), Session: m.session.Milliseconds(), Assignment: m.assignment,
		}
		for _, p := range m.protocols {
			sm.Protocols = append(sm.Protocols, SnapshotProtocol(p))
		}
		s.Members = append(s.Members, sm)
	}
	if len(s.Members) == 0 && !g.emptySince.IsZero() {
		s.EmptySince = g.emptySince.UnixMilli()
	}
	s.Rebalancing = len(s.Members) > 0 && g.state != Stable
	if len(s.Members) == 0 {
		s.Protocol, s.Leader = "", ""
	} else if m := g.members[g.leader]; m == nil || !m.told {
		s.Leader = s.Members[0].ID
	}
	return s
}

// Encode gives the stored form.
func (s Snapshot) Encode() ([]byte, error) {
	return json.Marshal(struct {
		Snapshot
		future.Fields
	}{Snapshot: s})
}

// Decode reads a stored group and checks everything that the machine relies on.
func Decode(value []byte) (Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal(value, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrInvalidSnapshot, err)
	}
	if s.Version != snapshotVersion {
		return s, fmt.Errorf("%w: version %d, this build reads %d", ErrInvalidSnapshot, s.Version, snapshotVersion)
	}
	return s, s.check()
}

func (s *Snapshot) check() error {
	ids, instances := make(map[string]bool), make(map[string]bool)
	for i := range s.Members {
		m := &s.Members[i]
		const longest = int64(1 << 40) // a generation of people, in milliseconds
		switch {
		case m.ID == "" || ids[m.ID]:
			return fmt.Errorf("%w: member %q is there twice or has no id", ErrInvalidSnapshot, m.ID)
		case m.InstanceID != "" && instances[m.InstanceID]:
			return fmt.Errorf("%w: instance %q is there twice", ErrInvalidSnapshot, m.InstanceID)
		case m.Session < 0 || m.Session > longest || m.Rebalance < 0 || m.Rebalance > longest:
			return fmt.Errorf("%w: member %q has timeouts %d and %d", ErrInvalidSnapshot, m.ID, m.Session, m.Rebalance)
		}
		ids[m.ID], instances[m.InstanceID] = true, true
	}
	switch {
	case s.Generation < 0:
		return fmt.Errorf("%w: generation %d", ErrInvalidSnapshot, s.Generation)
	case len(s.Members) > 0 && (!ids[s.Leader] || s.ProtocolType == "" || !s.agrees()):
		return fmt.Errorf("%w: leader %q, protocol %q of type %q", ErrInvalidSnapshot, s.Leader, s.Protocol, s.ProtocolType)
	}
	return nil
}

// agrees tells whether all members know the chosen protocol or, in a rebalance,
// any one protocol.
func (s *Snapshot) agrees() bool {
	known := func(name string) bool {
		return !slices.ContainsFunc(s.Members, func(m SnapshotMember) bool {
			return !slices.ContainsFunc(m.Protocols, func(p SnapshotProtocol) bool { return p.Name == name })
		})
	}
	if !s.Rebalancing {
		return s.Protocol != "" && known(s.Protocol)
	}
	return slices.ContainsFunc(s.Members[0].Protocols, func(p SnapshotProtocol) bool { return known(p.Name) })
}

// Load makes a group of a stored one. Everybody's session starts anew: nobody
// can know what heartbeats another holder got.
func Load(now time.Time, id string, s Snapshot, settings Settings) *Group {
	g := New(id, settings)
	g.generation, g.protocolType, g.protocol, g.leader = s.Generation, s.ProtocolType, s.Protocol, s.Leader
	for _, sm := range s.Members {
		m := &member{
			id: sm.ID, instance: sm.InstanceID, clientID: sm.ClientID, clientHost: sm.ClientHost, told: true,
			rebalance: time.Duration(sm.Rebalance) * time.Millisecond, session: time.Duration(sm.Session) * time.Millisecond,
			assignment: sm.Assignment,
		}
		for _, p := range sm.Protocols {
			m.protocols = append(m.protocols, Protocol(p))
		}
		m.deadline = now.Add(m.session)
		g.members[m.id] = m
		g.order = append(g.order, m.id)
		if m.isStatic() {
			g.static[m.instance] = m.id
		}
	}
	switch {
	case len(g.members) == 0:
		g.leader = ""
		if s.EmptySince != 0 {
			g.emptySince = time.UnixMilli(s.EmptySince)
		}
	case s.Rebalancing:
		g.state, g.joinDeadline = PreparingRebalance, now.Add(g.RebalanceTimeout())
	default:
		g.state = Stable
	}
	return g
}
