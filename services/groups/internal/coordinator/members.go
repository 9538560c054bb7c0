package coordinator

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/services/groups/internal/group"
)

// Join takes a member into a group. park is called once if the answer has to
// wait, with how long that may be, on the caller's goroutine. j.Ticket is
// chosen here.
func (c *Coordinator) Join(ctx context.Context, groupID string, j *group.Join, park func(time.Duration)) group.JoinAnswer {
	answers, parked := make(chan group.JoinAnswer, 1), make(chan time.Duration, 1)
	ended := group.JoinAnswer{Err: kerr.NotCoordinator, MemberID: j.MemberID, Generation: -1}
	w := &waiter{
		groupID: groupID, join: j,
		answerJoin: func(a group.JoinAnswer) { answers <- a },
		parked:     func(d time.Duration) { parked <- d },
	}
	if !c.inbox.post(func() { c.doJoin(w) }) {
		return ended
	}
	return waitParked(ctx, c, ended, answers, parked, park, w)
}

// Sync hands in a leader's assignment, or waits for it; see Join.
func (c *Coordinator) Sync(ctx context.Context, groupID string, s *group.Sync, park func(time.Duration)) group.SyncAnswer {
	answers, parked := make(chan group.SyncAnswer, 1), make(chan time.Duration, 1)
	ended := group.SyncAnswer{Err: kerr.NotCoordinator}
	w := &waiter{
		groupID: groupID, sync: s,
		answerSync: func(a group.SyncAnswer) { answers <- a },
		parked:     func(d time.Duration) { parked <- d },
	}
	if !c.inbox.post(func() { c.doSync(w) }) {
		return ended
	}
	return waitParked(ctx, c, ended, answers, parked, park, w)
}

// waitParked waits for an answer that may be parked, and tells the group when
// nobody waits any more.
func waitParked[T any](ctx context.Context, c *Coordinator, ended T, answers <-chan T, parked <-chan time.Duration, park func(time.Duration), w *waiter) T {
	select {
	case d := <-parked:
		park(d)
	case t := <-answers:
		return t
	case <-ctx.Done():
	case <-c.ended:
	}
	t := await(ctx, c, ended, answers)
	if ctx.Err() != nil {
		c.inbox.post(func() { c.abandon(w) })
	}
	return t
}

func (c *Coordinator) doJoin(w *waiter) {
	if w.gone {
		return
	}
	if e := c.groups[w.groupID]; e != nil && e.consumer != nil {
		c.joinConsumer(w, e)
		return
	}
	c.tickets++
	w.join.Ticket = c.tickets
	c.waiters[c.tickets] = w
	if c.groups[w.groupID] == nil {
		c.cfg.Metrics.hold(1)
	}
	e := c.ensure(w.groupID)
	c.take(e, e.Join(c.cfg.Now(), w.join))
	c.forgetIdle(e)
	c.park(e, w.join.Ticket, w)
}

func (c *Coordinator) doSync(w *waiter) {
	c.tickets++
	w.sync.Ticket = c.tickets
	c.waiters[c.tickets] = w
	e := c.groups[w.groupID]
	if e == nil {
		c.synced(&group.SyncAnswer{Ticket: c.tickets, Err: kerr.UnknownMemberID})
		return
	}
	c.take(e, e.Sync(c.cfg.Now(), w.sync))
	c.park(e, w.sync.Ticket, w)
}

// parkGrace is what a parked request may take beyond the group's own timeout.
const parkGrace = 30 * time.Second

// park tells the requester that it has to wait, if it has.
func (c *Coordinator) park(e *entry, ticket group.Ticket, w *waiter) {
	if c.waiters[ticket] == w && !w.isParked {
		w.isParked = true
		w.parked(e.RebalanceTimeout() + parkGrace)
	}
}

// abandon forgets a request that nobody waits for. It may have been answered.
func (c *Coordinator) abandon(w *waiter) {
	w.gone = true
	ticket := group.Ticket(0)
	if w.join != nil {
		ticket = w.join.Ticket
	} else {
		ticket = w.sync.Ticket
	}
	if c.waiters[ticket] != w {
		return
	}
	delete(c.waiters, ticket)
	if e := c.groups[w.groupID]; e != nil {
		c.take(e, e.Abandon(c.cfg.Now(), ticket))
		c.forgetIdle(e)
	}
}

// Heartbeat keeps a member alive; nil for a stable group.
func (c *Coordinator) Heartbeat(ctx context.Context, groupID, memberID, instanceID string, generation int32) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) {
		var try func()
		try = func() {
			e := kerr.UnknownMemberID
			if g := c.groups[groupID]; g != nil {
				e = g.Heartbeat(c.cfg.Now(), memberID, instanceID, generation)
			}
			c.settle(e, answer, try)
		}
		try()
	})
}

// Leaving is a member to be removed: by id, by instance id, or by both.
type Leaving struct{ MemberID, InstanceID string }

// Leave removes a member. Who is told so is gone for every holder to come.
func (c *Coordinator) Leave(ctx context.Context, groupID string, l Leaving) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) {
		var try func()
		try = func() {
			g := c.groups[groupID]
			if g == nil {
				c.settle(kerr.UnknownMemberID, answer, try)
				return
			}
			if g.consumer != nil {
				c.leaveConsumer(g, l, answer, try)
				return
			}
			out, e := g.Leave(c.cfg.Now(), l.MemberID, l.InstanceID)
			if e != nil {
				c.take(g, out)
				c.settle(e, answer, try)
				return
			}
			c.takeThen(g, out, c.stands(answer, try))
			c.forgetIdle(g)
		}
		try()
	})
}
