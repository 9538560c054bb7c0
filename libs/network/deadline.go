package network

import (
	"time"

	"golang.org/x/sys/unix"
)

// Deadlines bound how long a selector keeps a channel that brings nothing; 0 or less: for ever. They need Config.Now.
type Deadlines struct {
	// Idle is how long a channel may go without an event (connections.max.idle.ms, K1, K2). A channel that waits for us
	// is not idle: see mayBeIdle.
	Idle time.Duration
	// Handshake is how long a channel may take until its transport is ready. Only then the others count.
	Handshake time.Duration
	// FirstReceive is how long a channel may take, once it is ready, until its first receive is complete.
	FirstReceive time.Duration
	// Write is how long a peer may take nothing of what is due to it. Noticed up to a quarter late.
	Write time.Duration
}

func (d *Deadlines) any() bool {
	return d.Idle > 0 || d.Handshake > 0 || d.FirstReceive > 0 || d.Write > 0
}

// timing is a channel's part in the deadlines. Times are Config.Now's.
type timing struct {
	since   int64 // registered, or ready
	active  int64 // last event or unmuting (the stamp of Kafka's LRU map, K1)
	stalled int64 // last sign of the peer taking bytes, while full
	asked   int64 // when the socket was last asked for it
	unacked int   // what the socket said
	served  bool  // had a complete receive
	due     int64 // of the heap: no deadline ends before
	place   int   // in the heap, counted from 1; 0: not in it
}

// never is due after everything.
const never = int64(1<<63 - 1)

// expiriesPerPoll spreads the closing of many over passes, so that the others have their turn (K3, where it is one).
const expiriesPerPoll = 64

// begin starts the deadlines of a new channel.
func (s *Selector) begin(c *Channel) {
	if !s.deadlines.any() {
		return
	}
	now := s.clock() // the first Poll may be long after New
	c.timing = timing{since: now, active: now}
	c.due, _ = s.due(c)
	s.timers.push(c)
}

// carryOn lets the deadlines of a channel that has moved here run on from where they were.
func (s *Selector) carryOn(c *Channel, t timing) {
	if c.place == 0 {
		return
	}
	c.since, c.active, c.served = t.since, t.active, t.served
	c.due, _ = s.due(c)
	s.timers.up(c.place)
	s.timers.down(c.place)
}

// touch notes that the channel is alive. The heap is left alone: its entry is a lower bound, looked at again when it
// comes up, so that a request costs one store and no reordering.
func (s *Selector) touch(c *Channel) { c.active = s.now }

// stall begins the write deadline of a channel whose socket has become full.
func (s *Selector) stall(c *Channel) {
	if s.deadlines.Write <= 0 || c.place == 0 {
		return
	}
	c.stalled, c.asked, c.unacked = s.now, s.now, unacked(c)
	s.hasten(c)
}

// hasten moves a channel up that has become due earlier.
func (s *Selector) hasten(c *Channel) {
	if due, _ := s.due(c); c.place > 0 && due < c.due {
		c.due = due
		s.timers.up(c.place)
	}
}

// due is when the first of the channel's deadlines ends, and which.
func (s *Selector) due(c *Channel) (int64, CloseReason) {
	due, reason := never, ReasonNone
	earlier := func(from int64, limit time.Duration, r CloseReason) {
		if at := from + int64(limit); limit > 0 && at < due {
			due, reason = at, r
		}
	}
	if !c.ready && !c.connecting {
		earlier(c.since, s.deadlines.Handshake, overdue(c.transport))
		if s.deadlines.Handshake > 0 {
			return due, reason
		}
	}
	if s.mayBeIdle(c) {
		earlier(c.active, s.deadlines.Idle, ReasonIdleExpired)
	} else {
		earlier(s.now, s.deadlines.Idle, ReasonNone) // what ends that state touches
	}
	if !c.served {
		earlier(c.since, s.deadlines.FirstReceive, ReasonFirstRequestDeadline)
	}
	if c.full && !c.connecting {
		earlier(c.stalled, s.deadlines.Write, ReasonWriteDeadline)
		earlier(c.asked, s.deadlines.Write/4, ReasonNone)
	}
	return due, reason
}

// mayBeIdle tells that the idle time counts. Answers that the peer does not take are the write deadline's, if there is
// one.
func (s *Selector) mayBeIdle(c *Channel) bool {
	if c.out.head != nil {
		return s.deadlines.Write <= 0
	}
	return !c.waitsForUs()
}

// waitsForUs tells that the next step is not the peer's: its request is with a handler or waits for one, or it is
// throttled. Kafka expires such a channel (K4) and so loses the answer to a long poll.
func (c *Channel) waitsForUs() bool { return (c.state != NotMuted || c.Owed > 0) && c.out.head == nil }

// wait shortens a Poll's timeout to the next due time. It reckons from when the pass got its events; what has passed
// since, a pass comes late.
func (s *Selector) wait(timeout time.Duration) time.Duration {
	if len(s.timers) == 0 || s.timers[0].due == never {
		return timeout
	}
	next := time.Duration(max(s.timers[0].due-s.now, 0))
	if timeout < 0 {
		return next
	}
	return min(timeout, next)
}

// expire closes the channels whose deadline is over. It comes after the pass's events, which may be their last word.
func (s *Selector) expire() {
	for range expiriesPerPoll {
		if len(s.timers) == 0 || s.timers[0].due > s.now {
			return
		}
		c := s.timers[0]
		s.askWriteProgress(c)
		due, reason := s.due(c)
		if due <= s.now && reason != ReasonNone {
			s.CloseChannel(c, reason, nil)
			continue
		}
		c.due = max(due, s.now+1)
		s.timers.down(1)
	}
}

// askWriteProgress asks the socket whether the peer takes bytes. That it turns writable would not do: it does when a
// third of its buffer is free, which a slow but honest reader of megabytes may take longer for than the deadline.
func (s *Selector) askWriteProgress(c *Channel) {
	if !c.full || c.connecting || s.deadlines.Write <= 0 {
		return
	}
	n := unacked(c)
	if n < c.unacked {
		c.stalled = s.now
	}
	c.unacked, c.asked = n, s.now
}

// unacked is how many bytes the socket holds that the peer's machine has not taken.
func unacked(c *Channel) int {
	n, err := unix.IoctlGetInt(c.plain.fd, unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// LeastRecent is the channel that can be missed most easily: one whose peer has closed its half, else the least
// recently active that does not wait for us, else the least recently active (D8); nil without channels.
func (s *Selector) LeastRecent() *Channel {
	var least *Channel
	for c := range s.Channels() {
		if least == nil || c.rank() < least.rank() || c.rank() == least.rank() && c.active < least.active {
			least = c
		}
	}
	return least
}

func (c *Channel) rank() int {
	switch {
	case c.peerClosed:
		return 0
	case !c.waitsForUs():
		return 1
	}
	return 2
}
