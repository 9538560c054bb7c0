package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/services/groups/internal/group"
)

// waiter is a request whose answer the group gives later. Exactly one of join
// and sync is set.
type waiter struct {
	groupID    string
	join       *group.Join
	sync       *group.Sync
	answerJoin func(group.JoinAnswer)
	answerSync func(group.SyncAnswer)
	parked     func(time.Duration)
	isParked   bool
	gone       bool // nobody waits any more
}

// take does what a step of a group asked for.
func (c *Coordinator) take(e *entry, out group.Output) { c.takeThen(e, out, nil) }

// takeThen is take for a step whose answer may not leave before what the step
// changed is in the log: then is called with the outcome, at once if nothing is
// to be stored.
func (c *Coordinator) takeThen(e *entry, out group.Output, then func(error)) {
	switch {
	case out.Store != nil:
		c.store(e, out.Store, then)
	case then != nil:
		then(nil)
	}
	for i := range out.Joins {
		c.joined(&out.Joins[i])
	}
	for i := range out.Syncs {
		c.synced(&out.Syncs[i])
	}
	if c.groups[e.ID()] == e {
		c.setAlarm(e)
	}
}

func (c *Coordinator) joined(a *group.JoinAnswer) {
	w := c.waiters[a.Ticket]
	if w == nil {
		return // the client is gone
	}
	delete(c.waiters, a.Ticket)
	c.settle(a.Err, func(e *kerr.Error) {
		if e != a.Err {
			*a = group.JoinAnswer{Err: e, MemberID: a.MemberID, Generation: -1}
		}
		w.answerJoin(*a)
	}, func() { c.doJoin(w) })
}

func (c *Coordinator) synced(a *group.SyncAnswer) {
	w := c.waiters[a.Ticket]
	if w == nil {
		return
	}
	delete(c.waiters, a.Ticket)
	c.settle(a.Err, func(e *kerr.Error) {
		if e != a.Err {
			*a = group.SyncAnswer{Err: e}
		}
		w.answerSync(*a)
	}, func() { c.doSync(w) })
}

// rests tells whether an error may be told only when the tail of the log is
// confirmed: another holder could know better. What asks the client to come
// again, or is wrong whatever the group's state, needs no proof.
func rests(e *kerr.Error) bool {
	switch e {
	case kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.FencedInstanceID, kerr.InconsistentGroupProtocol,
		kerr.GroupIDNotFound, kerr.NonEmptyGroup, kerr.GroupSubscribedToTopic,
		kerr.FencedMemberEpoch, kerr.StaleMemberEpoch, kerr.UnreleasedInstanceID, kerr.GroupMaxSizeReached:
		return true
	}
	return false
}

// settle gives an answer, a refusal only after the tail of the log has been
// confirmed. If another writer came first, again decides anew.
func (c *Coordinator) settle(e *kerr.Error, answer func(*kerr.Error), again func()) {
	if !rests(e) {
		answer(e)
		return
	}
	c.confirm(func(failed *kerr.Error) {
		if failed != nil {
			answer(failed)
			return
		}
		answer(e)
	}, again)
}

// confirm has the tail of the log confirmed, then calls then; with an error if
// that is not possible now. If another writer came first, it calls again.
func (c *Coordinator) confirm(then func(*kerr.Error), again func()) {
	c.submit(nil, func(err error) {
		switch {
		case err == nil:
			then(nil)
		case errors.Is(err, log.ErrConflict):
			again()
		default:
			then(kerr.NotCoordinator)
		}
	})
}

// stands is what to do when what an answer tells is in the log, or is not.
func (c *Coordinator) stands(answer func(*kerr.Error), again func()) func(error) {
	return func(err error) {
		switch {
		case err == nil:
			answer(nil)
		case errors.Is(err, log.ErrConflict):
			again()
		default:
			answer(kerr.NotCoordinator)
		}
	}
}

// confirmed reads the groups when the tail of the log is confirmed.
func confirmed[T any](ctx context.Context, c *Coordinator, read func() (T, *kerr.Error)) (T, *kerr.Error) {
	type answered struct {
		t T
		e *kerr.Error
	}
	a := ask(ctx, c, answered{e: kerr.NotCoordinator}, func(answer func(answered)) {
		var try func()
		try = func() {
			c.confirm(func(failed *kerr.Error) {
				a := answered{e: failed}
				if failed == nil {
					a.t, a.e = read()
				}
				answer(a)
			}, try)
		}
		try()
	})
	return a.t, a.e
}

// submit hands changes to the log; done runs on the owner's goroutine, or never
// when the coordinator has ended: who waits learns that by itself.
func (c *Coordinator) submit(changes []log.Change, done func(error)) {
	c.table.Submit(changes, func(err error) { c.inbox.post(func() { done(err) }) })
}

// store commits a group's snapshot.
func (c *Coordinator) store(e *entry, s *group.Store, then func(error)) {
	if then == nil {
		then = func(error) {}
	}
	value, err := s.Snapshot.Encode()
	if err != nil {
		c.cfg.Log.Error("group could not be stored", "group", e.ID(), "err", err)
		c.restore(e.ID(), kerr.UnknownServerError)
		then(err)
		return
	}
	e.submitted++
	e.storing++
	c.submitStore(e, &storing{number: s.Number, place: e.submitted, value: value, then: then})
}

// storing is a snapshot on its way to the log.
type storing struct {
	number uint64 // the group's own; 0 if it does not want to know
	place  uint64 // in the order of the group's snapshots
	value  []byte
	then   func(error)
}

func (c *Coordinator) submitStore(e *entry, s *storing) {
	c.submit([]log.Change{{Key: groupKey(e.ID()), Value: s.value}}, func(err error) {
		if c.groups[e.ID()] != e { // loaded again meanwhile; who waited has been told
			s.then(log.ErrConflict)
			return
		}
		if errors.Is(err, log.ErrConflict) && s.place == e.submitted {
			c.submitStore(e, s) // the foreign change was not about this group, or reload will come
			return
		}
		e.storing--
		if err == nil || errors.Is(err, log.ErrConflict) {
			c.stored(e, s, err == nil)
			return
		}
		if errors.Is(err, log.ErrTooLarge) {
			c.cfg.Log.Error("group is too large to be stored: raise max_payload of the NATS servers", "group", e.ID(), "bytes", len(s.value))
			c.restore(e.ID(), kerr.UnknownServerError)
		} else {
			c.restore(e.ID(), kerr.NotCoordinator)
		}
		s.then(err)
	})
}

// stored tells a group what is in the log. A snapshot that met another writer
// while a newer one was on its way already is not sent again: behind the newer
// one, which includes it, it would turn the group back.
func (c *Coordinator) stored(e *entry, s *storing, itself bool) {
	e.superseded = append(e.superseded, s)
	if itself {
		e.raw = s.value
		c.cfg.Metrics.stored()
	} else if e.storing > 0 {
		return
	}
	all := e.superseded
	e.superseded = nil
	for _, s := range all {
		c.take(e, e.Stored(c.cfg.Now(), s.number))
		s.then(nil)
	}
}

// ask runs f on the owner's goroutine and waits for its answer. ended is the
// answer when the coordinator has ended or the caller's context has.
func ask[T any](ctx context.Context, c *Coordinator, ended T, f func(answer func(T))) T {
	answers := make(chan T, 1)
	if !c.inbox.post(func() { f(func(t T) { answers <- t }) }) {
		return ended
	}
	return await(ctx, c, ended, answers)
}

func await[T any](ctx context.Context, c *Coordinator, ended T, answers <-chan T) T {
	select {
	case t := <-answers:
		return t
	case <-ctx.Done():
		return ended
	case <-c.ended:
		select { // end answers those who were parked
		case t := <-answers:
			return t
		default:
			return ended
		}
	}
}
