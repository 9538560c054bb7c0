package consumer

import "time"

// Next is when Tick has something to do; zero for never. Heartbeats only ever
// move it back, but for a member that has begun to revoke.
func (g *Group) Next() (next time.Time) {
	earliest := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, m := range g.members {
		earliest(m.deadline)
		earliest(m.revokeBy)
	}
	return next
}

// Tick removes who was silent for a session, or has not let go in time what it
// was asked for.
func (g *Group) Tick(now time.Time) {
	for _, m := range g.inOrder() {
		if !now.Before(m.deadline) || !m.revokeBy.IsZero() && !now.Before(m.revokeBy) {
			g.fence(m)
		}
	}
}

// Postpone moves the end of everybody's time back by d: for a time in which no
// heartbeat could arrive.
func (g *Group) Postpone(d time.Duration) {
	for _, m := range g.members {
		m.deadline = m.deadline.Add(d)
		if !m.revokeBy.IsZero() {
			m.revokeBy = m.revokeBy.Add(d)
		}
	}
}
