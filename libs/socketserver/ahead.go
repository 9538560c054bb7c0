package socketserver

import (
	"time"

	"kanal/libs/network"
)

// ahead is what a connection has that may have several requests under way. They have a sequence, and answers that come
// before their turn wait for it in a ring.
//
// Its channel does not go through the states of answers and throttles, which know one request: it is muted while as many
// requests are under way as may be, one of them has no room in the request channel, a throttle runs, or its processor
// drains or retires. Channel.Owed counts those under way, from their receive until their answer's last byte is with the
// socket. A client that will log in again does not read ahead: its login would overtake answers.
type ahead struct {
	ring      []Response // answers by sequence; without a token: not there
	next      uint64     // sequence of the next request
	turn      uint64     // of the answer that is due
	throttled int64      // until when; 0: not
}

// slot is the place of an answer.
func (a *ahead) slot(sequence uint64) *Response { return &a.ring[sequence%uint64(len(a.ring))] }

// expects tells whether the answer to a request may come.
func (a *ahead) expects(sequence uint64) bool {
	return sequence >= a.turn && sequence < a.next && a.slot(sequence).Token == 0
}

// take gives the answer that is due, if it is there.
func (a *ahead) take() (r Response, there bool) {
	s := a.slot(a.turn)
	if a.turn == a.next || s.Token == 0 {
		return r, false
	}
	r, *s = *s, Response{}
	a.turn++
	return r, true
}

// lose ends the answers whose turn will not come.
func (a *ahead) lose(outcome Outcome) {
	if a == nil {
		return
	}
	for i := range a.ring {
		if r := &a.ring[i]; r.Token != 0 {
			r.complete(outcome)
			*r = Response{}
		}
	}
}

// mayReadAhead makes a connection one that reads ahead, if it may.
func (p *Processor) mayReadAhead(c *connection) {
	if c.ahead == nil && c.login == nil && p.listener.MaxInFlight > 1 {
		c.ahead = &ahead{ring: make([]Response, p.listener.MaxInFlight)}
	}
}

// readAhead goes on reading if nothing is against it.
func (p *Processor) readAhead(ch *network.Channel, c *connection) {
	a := c.ahead
	if ch.Owed < len(a.ring) && a.throttled == 0 && !c.parked && !(ch.Owed > 0 && (p.orders.drain || p.orders.retire)) {
		p.sel.MaybeUnmute(ch)
	}
}

// stopReadingAhead mutes a channel that reads ahead, so that it becomes quiet.
func (p *Processor) stopReadingAhead(ch *network.Channel) {
	if !ch.Closed() && ch.Owed > 0 {
		ch.Mute()
	}
}

// collect takes an answer, and carries out those whose turn it is.
func (p *Processor) collect(ch *network.Channel, a *ahead, r *Response, now int64) {
	if !a.expects(r.Sequence) { // a second answer to one request (F6)
		r.complete(ConnectionLost)
		p.close(ch, network.ReasonIllegalState, network.ErrIllegalState)
		return
	}
	*a.slot(r.Sequence) = *r
	for !ch.Closed() {
		due, there := a.take()
		if !there {
			return
		}
		p.carryOut(ch, a, &due, now)
	}
}

func (p *Processor) carryOut(ch *network.Channel, a *ahead, r *Response, now int64) {
	switch r.Kind {
	case Send:
		p.throttleAhead(ch, a, r.Throttle, now)
		var cookie any
		if r.Completer != nil {
			cookie = r.Completer
		}
		p.sel.Send(ch, network.Send{Frame: r.Frame, Cookie: cookie, Queued: now})
	case NoOp:
		p.throttleAhead(ch, a, r.Throttle, now)
		r.complete(NotDue)
		p.responseSent(ch)
	default:
		p.closeInstead(ch, r)
	}
}

// throttleAhead stops reading for a while; of several throttles the longest counts.
func (p *Processor) throttleAhead(ch *network.Channel, a *ahead, throttled time.Duration, now int64) {
	if throttled <= 0 {
		return
	}
	ch.Mute()
	a.throttled = max(a.throttled, now+int64(throttled))
	p.throttles.push(throttle{now + int64(throttled), ch.Token()})
}
