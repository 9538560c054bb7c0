package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/group"
)

// ConsumerHeartbeat takes a member of a consumer group on (KIP-848). What it is
// told is in the log.
func (c *Coordinator) ConsumerHeartbeat(ctx context.Context, groupID string, q *consumer.Heartbeat) consumer.Answer {
	return ask(ctx, c, consumer.Answer{Err: kerr.NotCoordinator}, func(answer func(consumer.Answer)) {
		c.consumerHeartbeat(groupID, q, answer)
	})
}

func (c *Coordinator) consumerHeartbeat(id string, q *consumer.Heartbeat, answer func(consumer.Answer)) {
	again := func() { c.consumerHeartbeat(id, q, answer) }
	e, refused := c.consumerGroup(id, q.Epoch == consumer.JoinEpoch)
	if refused != nil {
		c.settle(refused, func(k *kerr.Error) { answer(consumer.Answer{Err: k, Message: k.Description}) }, again)
		return
	}
	a := e.consumer.Heartbeat(c.cfg.Now(), q, c.cfg.Topics)
	if a.Err != nil {
		c.forgetConsumer(e)
		c.settle(a.Err, func(k *kerr.Error) {
			if k != a.Err {
				a = consumer.Answer{Err: k, Message: k.Description}
			}
			answer(a)
		}, again)
		return
	}
	c.storeConsumer(e, func(err error) {
		switch {
		case err == nil:
			answer(a)
		case errors.Is(err, log.ErrConflict):
			again()
		case errors.Is(err, errBroken):
			answer(consumer.Answer{Err: kerr.UnknownServerError, Message: err.Error()})
		default:
			q.Again = true // it may be in the log
			answer(consumer.Answer{Err: kerr.NotCoordinator, Message: kerr.NotCoordinator.Description})
		}
	})
}

// consumerGroup finds a consumer group. Who joins makes it, if there is nothing
// or a classic group without members.
func (c *Coordinator) consumerGroup(id string, join bool) (*entry, *kerr.Error) {
	e := c.groups[id]
	switch {
	case e != nil && (e.State() == group.Dead || e.broken):
		return nil, kerr.CoordinatorNotAvailable
	case e != nil && e.consumer != nil:
		return e, nil
	case !join || e != nil && e.State() != group.Empty:
		return nil, kerr.GroupIDNotFound
	case e == nil:
		c.cfg.Metrics.hold(1)
		e = c.ensure(id)
	case !e.idle(): // somebody is about to join it as a classic one
		return nil, kerr.CoordinatorNotAvailable
	}
	e.consumer = consumer.New(id, c.cfg.Consumer)
	return e, nil
}

// forgetConsumer takes back a group that nobody could join.
func (c *Coordinator) forgetConsumer(e *entry) {
	if e.consumer.Epoch() == 0 && e.consumer.Members() == 0 && e.writing == 0 {
		e.consumer = nil
		c.forgetIdle(e)
	}
}

// storeConsumer commits what a step has changed in a consumer group. then is
// called when that, and everything before it that the step may have seen, is in
// the log: at once if nothing is on its way.
func (c *Coordinator) storeConsumer(e *entry, then func(error)) {
	changes, err := e.consumerChanges()
	switch {
	case err != nil:
		c.cfg.Log.Error("group could not be stored", "group", e.ID(), "err", err)
		c.mend(e, then)
		return
	case len(changes) == 0 && e.writing == 0:
		then(nil)
		return
	case len(changes) > 0:
		c.setAlarm(e)
		c.cfg.Metrics.stored()
	}
	e.writing++
	c.submit(changes, func(err error) {
		if c.groups[e.ID()] != e { // loaded again meanwhile
			then(log.ErrConflict)
			return
		}
		e.writing--
		switch {
		case err == nil:
			then(nil)
		case errors.Is(err, log.ErrTooLarge):
			c.cfg.Log.Error("group is too large to be stored: raise max_payload of the NATS servers", "group", e.ID(), "members", e.consumer.Members())
			c.mend(e, then)
		default: // whatever was decided since is refused by the log too
			c.reload()
			then(err)
		}
	})
}

// consumerChanges are a consumer group's changes since the last time. The first
// ones replace what is stored of a classic group.
func (e *entry) consumerChanges() (changes []log.Change, err error) {
	dirty := e.consumer.Take()
	if dirty.Group {
		value, err := e.consumer.Record()
		if err != nil {
			return nil, err
		}
		changes = append(changes, log.Change{Key: consumerKey(e.ID()), Value: value})
	}
	for id := range dirty.Members {
		value, err := e.consumer.MemberRecord(id)
		if err != nil {
			return nil, err
		}
		changes = append(changes, log.Change{Key: memberKey(e.ID(), id), Value: value})
	}
	if len(changes) > 0 && e.raw != nil {
		changes = append(changes, log.Change{Key: groupKey(e.ID())})
		e.raw = nil
	}
	return changes, nil
}

// mend loads a consumer group again whose memory is ahead of what can be stored,
// when everything before that is in the log. Nobody gets in meanwhile.
func (c *Coordinator) mend(e *entry, then func(error)) {
	e.broken = true
	c.submit(nil, func(err error) {
		if c.groups[e.ID()] == e {
			c.loadConsumerAgain(e)
		}
		then(errBroken)
	})
}

var errBroken = errors.New("coordinator: group could not be stored")

// tickConsumer removes whose time is over.
func (c *Coordinator) tickConsumer(e *entry, now time.Time) {
	e.consumer.Tick(now)
	c.storeConsumer(e, func(error) {}) // what fails has been loaded again
}

// leaveConsumer removes a member for LeaveGroup: an administrator's.
func (c *Coordinator) leaveConsumer(e *entry, l Leaving, answer func(*kerr.Error), again func()) {
	if refused := e.consumer.Remove(l.MemberID, l.InstanceID); refused != nil {
		c.settle(refused, answer, again)
		return
	}
	c.storeConsumer(e, c.stands(answer, again))
}

// joinConsumer is a classic member's join: an empty consumer group becomes a
// classic one for it, any other has another protocol.
func (c *Coordinator) joinConsumer(w *waiter, e *entry) {
	answer := func(k *kerr.Error) {
		w.answerJoin(group.JoinAnswer{Err: k, MemberID: w.join.MemberID, Generation: -1})
	}
	again := func() { c.doJoin(w) }
	g := e.consumer
	if g.Members() > 0 {
		c.settle(kerr.InconsistentGroupProtocol, answer, again)
		return
	}
	c.remove([]string{consumerKey(e.ID())}, func(err error) {
		switch {
		case err == nil && c.groups[e.ID()] == e && e.consumer == g && g.Members() == 0 && e.writing == 0:
			e.consumer = nil
			again()
		case err == nil, errors.Is(err, log.ErrConflict):
			again()
		default:
			answer(kerr.NotCoordinator)
		}
	})
}

// DescribeConsumer describes a consumer group; GROUP_ID_NOT_FOUND when there is
// none with that id.
func (c *Coordinator) DescribeConsumer(ctx context.Context, groupID string) (consumer.Description, *kerr.Error) {
	return confirmed(ctx, c, func() (consumer.Description, *kerr.Error) {
		e := c.groups[groupID]
		if e == nil || e.consumer == nil || e.State() == group.Dead {
			return consumer.Description{}, kerr.GroupIDNotFound
		}
		return e.consumer.Describe(), nil
	})
}
