package group

import "time"

// Next is when Tick has something to do; zero for never. Heartbeats and commits
// only ever move it back, so it need not be asked for after them.
func (g *Group) Next() (next time.Time) {
	earliest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, t := range g.pending {
		earliest(t)
	}
	for _, m := range g.members {
		earliest(m.deadline)
	}
	switch g.state {
	case PreparingRebalance:
		earliest(g.joinDeadline)
	case CompletingRebalance:
		earliest(g.syncDeadline)
	case Stable:
		if len(g.mustSync) > 0 {
			earliest(g.syncDeadline)
		}
	}
	return next
}

// Tick does what is due: sessions end, joining ends, members that did not sync
// are dropped.
func (g *Group) Tick(now time.Time) Output {
	g.expirePending(now)
	g.expireSessions(now)
	switch {
	case g.state == PreparingRebalance && !now.Before(g.joinDeadline):
		g.joinTimeout(now)
	case (g.state == CompletingRebalance || g.state == Stable && len(g.mustSync) > 0) && !now.Before(g.syncDeadline):
		g.syncTimeout(now)
	}
	return g.take()
}

func (g *Group) expirePending(now time.Time) {
	expired := false
	for id, t := range g.pending {
		if !now.Before(t) {
			delete(g.pending, id)
			expired = true
		}
	}
	if expired {
		g.tryComplete(now)
	}
}

func (g *Group) expireSessions(now time.Time) {
	for _, m := range g.inOrder() {
		if now.Before(m.deadline) || g.members[m.id] != m {
			continue
		}
		// Who waits for an answer of ours cannot send heartbeats; but a new
		// member's stay is bounded.
		if waits := m.join != 0 || m.sync != 0; waits && !m.isNew {
			m.deadline = now.Add(m.session)
			continue
		}
		g.leave(now, m)
	}
}

// syncTimeout drops the members that joined this generation and never asked for
// their assignment.
func (g *Group) syncTimeout(now time.Time) {
	var missing []*member
	for _, m := range g.inOrder() {
		if g.mustSync[m.id] {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 { // all wait for what is being stored
		g.syncDeadline = now.Add(g.RebalanceTimeout())
		return
	}
	for _, m := range missing {
		if g.members[m.id] == m {
			g.leave(now, m)
		}
	}
}

// Postpone moves the end of all sessions back by d: for a time in which no
// heartbeat could arrive.
func (g *Group) Postpone(d time.Duration) {
	for _, m := range g.members {
		m.deadline = m.deadline.Add(d)
	}
	for id, t := range g.pending {
		g.pending[id] = t.Add(d)
	}
}
