package consumer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/services/groups/internal/assignor"
)

// Heartbeat is a ConsumerGroupHeartbeat request. What is nil, or -1, has not
// changed since the request before.
type Heartbeat struct {
	MemberID             string
	Epoch                int32 // or one of those with a meaning of their own
	InstanceID, RackID   *string
	ClientID, ClientHost string
	Rebalance            time.Duration // below 0 for nothing new
	Topics               []string
	Regex                *string
	Assignor             *string
	Owned                assignor.Assignment
	HasOwned             bool // Owned is given, be it empty
	// Again: it may have been taken before, by somebody whose answer got lost.
	Again bool
}

// Answer answers a Heartbeat.
type Answer struct {
	Err        *kerr.Error // nil for success
	Message    string      // with Err
	MemberID   string
	Epoch      int32
	Assigned   bool // Assignment is given
	Assignment assignor.Assignment
}

func refuse(e *kerr.Error, format string, args ...any) Answer {
	return Answer{Err: e, Message: fmt.Sprintf(format, args...)}
}

// Heartbeat takes a member in, moves it on to the target, or lets it go. A
// refused one changes nothing.
func (g *Group) Heartbeat(now time.Time, q *Heartbeat, topics Topics) Answer {
	if q.Epoch == LeaveEpoch || q.Epoch == StaticLeaveEpoch {
		return g.leave(q)
	}
	if q.Regex != nil && *q.Regex != "" {
		if _, err := compile(*q.Regex); err != nil {
			return refuse(kerr.InvalidRegularExpression, "SubscribedTopicRegex %q is not a valid regular expression: %v.", *q.Regex, err)
		}
	}
	members := len(g.members)
	m, refused := g.admit(q)
	if refused.Err != nil {
		return refused
	}
	changed := g.update(m, q) || len(g.members) > members
	if g.look(topics) || changed {
		g.bump()
	}
	if g.epoch > g.targetEpoch {
		g.assign(topics)
	}
	before := m.assigned
	behind := q.Again || !m.told || q.Epoch != m.epoch
	g.reconcile(now, m, q)
	m.deadline = now.Add(g.settings.Session)
	a := Answer{MemberID: m.id, Epoch: m.epoch}
	if behind || q.isFull() || !m.assigned.Equal(before) {
		a.Assigned, a.Assignment, m.told = true, m.assigned, true
	}
	return a
}

// isFull tells whether a member said everything: then it wants to hear
// everything, since an answer may have been lost.
func (q *Heartbeat) isFull() bool {
	return q.Rebalance >= 0 && (q.Topics != nil || q.Regex != nil) && q.HasOwned
}

// admit finds the member of a heartbeat, or makes it.
func (g *Group) admit(q *Heartbeat) (*member, Answer) {
	m := g.members[q.MemberID]
	switch {
	case q.InstanceID != nil && q.Epoch == JoinEpoch:
		return g.joinStatic(q)
	case q.InstanceID != nil:
		if refused := g.checkInstance(q); refused.Err != nil {
			return nil, refused
		}
	case m == nil && q.Epoch == JoinEpoch:
		return g.add(q)
	}
	switch {
	case m == nil:
		return nil, refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", q.MemberID, g.id)
	case q.Epoch == JoinEpoch:
		return m, Answer{} // it has lost its epoch, or an answer
	}
	return m, m.checkEpoch(q)
}

// checkInstance checks that an instance id stands for the member that uses it.
func (g *Group) checkInstance(q *Heartbeat) Answer {
	switch id, ok := g.static[*q.InstanceID]; {
	case !ok:
		return refuse(kerr.UnknownMemberID, "Instance id %s is unknown.", *q.InstanceID)
	case id != q.MemberID:
		return refuse(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", q.MemberID, *q.InstanceID, id)
	}
	return Answer{}
}

// checkEpoch lets a member go on that has not heard of its newest epoch, as long
// as it does not say that it has what it should not have. (Kafka wants it to say
// what it has. Here a heartbeat without news may come twice: its holder committed
// it, went away before it answered, and another was given it.)
func (m *member) checkEpoch(q *Heartbeat) (refused Answer) {
	switch {
	case q.Epoch > m.epoch:
		return refuse(kerr.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", q.Epoch, m.epoch)
	case q.Epoch < m.epoch && (q.Epoch != m.previous || len(q.Owned.Minus(m.assigned)) > 0):
		return refuse(kerr.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", q.Epoch, m.epoch)
	}
	return refused
}

func (g *Group) add(q *Heartbeat) (*member, Answer) {
	if g.settings.MaxSize > 0 && len(g.members) >= g.settings.MaxSize {
		return nil, refuse(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", g.settings.MaxSize)
	}
	m := &member{id: strings.Clone(q.MemberID), previous: -1}
	if q.InstanceID != nil {
		m.instance = strings.Clone(*q.InstanceID)
		g.static[m.instance] = m.id
	}
	g.members[m.id] = m
	g.looked = false
	g.dirty.member(m.id)
	return m, Answer{}
}

// update takes what a heartbeat says into a member. It tells whether the
// target has to be computed anew for it.
func (g *Group) update(m *member, q *Heartbeat) (changed bool) {
	before := *m
	if m.clientID != q.ClientID || m.clientHost != q.ClientHost {
		m.clientID, m.clientHost = strings.Clone(q.ClientID), strings.Clone(q.ClientHost)
	}
	if q.RackID != nil {
		m.rack = strings.Clone(*q.RackID)
	}
	if q.Rebalance >= 0 {
		m.rebalance = q.Rebalance
	}
	if q.Assignor != nil {
		m.assignor = strings.Clone(*q.Assignor)
	}
	if q.Topics != nil {
		m.topics = sorted(q.Topics)
	}
	if q.Regex != nil {
		m.regex = strings.Clone(*q.Regex)
	}
	subscribed := !slices.Equal(m.topics, before.topics) || m.regex != before.regex
	if subscribed {
		g.looked = false
	}
	if subscribed || m.clientID != before.clientID || m.clientHost != before.clientHost || m.rack != before.rack ||
		m.rebalance != before.rebalance || m.assignor != before.assignor {
		g.dirty.member(m.id)
	}
	return subscribed || m.assignor != before.assignor && g.preferred() != g.assignor
}

// compile makes a regular expression of RE2 that matches whole names.
func compile(regex string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(regex); err != nil { // by itself: "a)(b" is none
		return nil, err
	}
	return regexp.Compile("^(?:" + regex + ")$")
}
