package coordinator

import (
	"container/heap"
	"time"

	"kanal/services/groups/internal/group"
)

// alarms is a heap of times at which groups want to be looked at. An alarm that
// its group has moved away from rings for nobody.
type alarms []alarm

type alarm struct {
	at time.Time
	e  *entry
}

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *alarms) Push(x any) { *a = append(*a, x.(alarm)) }

// Pop implements heap.Interface.
func (a *alarms) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*a = old[:len(old)-1]
	return last
}

// setAlarm makes sure that a group is looked at in time.
func (c *Coordinator) setAlarm(e *entry) {
	next := e.next()
	if next.IsZero() || !e.alarm.IsZero() && !next.Before(e.alarm) {
		return
	}
	e.alarm = next
	heap.Push(&c.alarms, alarm{next, e})
}

func (c *Coordinator) untilAlarm() time.Duration {
	if len(c.alarms) == 0 {
		return time.Hour
	}
	return max(c.alarms[0].at.Sub(c.cfg.Now()), 0)
}

// ring lets the groups do what is due. While heartbeats cannot arrive nothing
// is due; watch sees to what that means.
func (c *Coordinator) ring() {
	now := c.cfg.Now()
	for len(c.alarms) > 0 && !now.Before(c.alarms[0].at) {
		a := heap.Pop(&c.alarms).(alarm)
		if !a.e.alarm.Equal(a.at) || c.groups[a.e.ID()] != a.e {
			continue
		}
		a.e.alarm = time.Time{}
		if !c.alive(now) {
			a.e.alarm = now.Add(time.Second)
			heap.Push(&c.alarms, alarm{a.e.alarm, a.e})
			continue
		}
		if a.e.consumer != nil {
			c.tickConsumer(a.e, now)
			c.setAlarm(a.e)
			continue
		}
		c.take(a.e, a.e.Tick(now))
		c.forgetIdle(a.e)
	}
}

// stall is a silence that says that this process, or its connection, was not
// running: a tick comes every second.
const stall = 3 * time.Second

// alive tells whether heartbeats could arrive until now. If they could not for
// a while, all sessions get that time back: the members did nothing wrong.
func (c *Coordinator) alive(now time.Time) bool {
	if !c.cfg.Alive() {
		return false
	}
	if gap := now.Sub(c.lastAlive); gap > stall {
		c.cfg.Log.Info("sessions were extended: no heartbeat could arrive", "for", gap.String())
		for _, e := range c.groups {
			e.postpone(gap)
		}
	}
	c.lastAlive = now
	return true
}

// watch is called every second.
func (c *Coordinator) watch() {
	now := c.cfg.Now()
	if !c.alive(now) {
		return
	}
	c.endOverdue(now)
	if now.Sub(c.lastClean) >= c.cfg.CleanInterval {
		c.lastClean = now
		c.clean(now)
		c.expireTransactions(now)
	}
}

// forgetIdle drops the memory of a group that never came to be.
func (c *Coordinator) forgetIdle(e *entry) {
	if e.idle() && e.raw == nil && e.consumer == nil && len(e.offsets) == 0 && e.State() != group.Dead && c.groups[e.ID()] == e {
		delete(c.groups, e.ID())
		c.cfg.Metrics.hold(-1)
	}
}
