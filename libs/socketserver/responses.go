package socketserver

import (
	"time"

	"kanal/libs/network"
)

// processNewResponses takes up the answers (E5).
func (p *Processor) processNewResponses() {
	if len(p.responses) == 0 {
		return
	}
	now := Now()
	for i := range p.responses {
		p.processNewResponse(&p.responses[i], now)
	}
	clear(p.responses)
}

func (p *Processor) processNewResponse(r *Response, now int64) {
	ch := p.sel.Channel(r.Token)
	if ch == nil { // E6, G7
		r.complete(ConnectionLost)
		return
	}
	if r.Kind == workDone {
		p.finishWork(ch)
		return
	}
	if a := ch.Attachment.(*connection).ahead; a != nil {
		p.collect(ch, a, r, now)
		return
	}
	if !ch.State().ResponsePending() { // a second answer to one request (F6)
		r.complete(ConnectionLost)
		p.close(ch, network.ReasonIllegalState, network.ErrIllegalState)
		return
	}
	switch r.Kind {
	case Send:
		p.startThrottle(ch, r.Throttle, now)
		p.sendResponse(ch, r, now)
	case NoOp:
		p.startThrottle(ch, r.Throttle, now)
		r.complete(NotDue)
		p.responseSent(ch)
	default:
		p.closeInstead(ch, r)
	}
}

// closeInstead closes the connection instead of an answer.
func (p *Processor) closeInstead(ch *network.Channel, r *Response) {
	r.complete(Closed)
	reason := r.Reason
	setDefault(&reason, network.ReasonHandlerClosed)
	p.close(ch, reason, nil)
}

// sendResponse queues the answer; the next poll writes it. Where the next request is here already it is served at once
// and both answers leave in one write: the channel takes this answer for sent (network.Selector.Pipelined).
func (p *Processor) sendResponse(ch *network.Channel, r *Response, now int64) {
	settled := r.Throttle <= 0 && !p.orders.drain && !p.orders.retire && p.sel.Pipelined(ch, len(r.Frame))
	var cookie any
	if r.Completer != nil {
		cookie = r.Completer
	}
	p.sel.Send(ch, network.Send{Frame: r.Frame, Cookie: cookie, Queued: now, Settled: settled})
	if settled {
		p.responseSent(ch)
	}
}

// responseSent moves the channel on after its answer, be it one or none (E11).
func (p *Processor) responseSent(ch *network.Channel) {
	if ch.Owed > 0 {
		ch.Owed--
	} else {
		p.handle(ch, network.ResponseSent)
	}
	p.tryUnmute(ch)
}

// tryUnmute reads from the channel again if its state allows; while draining only what is here already, and elsewhere if
// it moves.
func (p *Processor) tryUnmute(ch *network.Channel) {
	c := ch.Attachment.(*connection)
	switch {
	case p.orders.drain:
		p.closeIfIdle(ch)
	case ch.Closed(), p.orders.retire && p.move(ch):
	case c.ahead != nil:
		p.readAhead(ch, c)
	default:
		p.sel.MaybeUnmute(ch)
	}
}

// closeIfIdle closes a connection of a draining loop that has nothing under way. A request that is here already is
// served before: its client has sent it to a server that was there.
func (p *Processor) closeIfIdle(ch *network.Channel) {
	switch {
	case !idle(ch):
	case Now() < p.lastCallEnds && ch.Arrived():
		if ch.State() != network.NotMuted {
			p.sel.MaybeUnmute(ch)
		}
	default:
		p.close(ch, p.farewell(), nil)
	}
}

// idle tells that nothing is under way for a connection. A throttled one may well be idle.
func idle(ch *network.Channel) bool {
	return !ch.State().ResponsePending() && ch.Owed == 0 && ch.Unsent() == 0 && !ch.Attachment.(*connection).parked
}

// drainOn begins the draining, and ends the last call.
func (p *Processor) drainOn(begins bool) {
	switch {
	case begins:
		p.lastCallEnds = Now() + int64(p.lastCall)
	case p.lastCallEnds > 0 && Now() >= p.lastCallEnds:
		p.lastCallEnds = 0
	default:
		return
	}
	p.closeIdle()
}

func (p *Processor) closeIdle() {
	for ch := range p.sel.Channels() {
		p.closeIfIdle(ch)
		p.stopReadingAhead(ch)
	}
}

// startThrottle and endThrottles are Kafka's StartThrottling and EndThrottling responses, made here from one number so
// that nothing can reorder them (V7).
func (p *Processor) startThrottle(ch *network.Channel, throttled time.Duration, now int64) {
	if throttled <= 0 {
		return
	}
	p.handle(ch, network.ThrottleStarted)
	p.throttles.push(throttle{now + int64(throttled), ch.Token()})
}

func (p *Processor) endThrottles() {
	if len(p.throttles) == 0 {
		return
	}
	now := Now()
	for t, over := p.throttles.pop(now); over; t, over = p.throttles.pop(now) {
		if ch := p.sel.Channel(t.token); ch != nil {
			p.endThrottle(ch, t.due)
		}
	}
}

func (p *Processor) endThrottle(ch *network.Channel, due int64) {
	if a := ch.Attachment.(*connection).ahead; a == nil {
		p.handle(ch, network.ThrottleEnded)
	} else if due >= a.throttled {
		a.throttled = 0
	}
	p.tryUnmute(ch)
}

// processCompletedSends tells the completers first, since they may add to the request's metrics, and then moves the
// channels on (E11).
func (p *Processor) processCompletedSends() {
	sends := p.sel.CompletedSends()
	if len(sends) == 0 {
		return
	}
	now := Now()
	for i := range sends {
		s := &sends[i]
		completeSend(&s.Send, Sent, now-s.Queued)
		switch {
		case s.Channel.Closed():
		case !s.Settled:
			p.responseSent(s.Channel)
		case p.orders.drain: // its channel has moved on, and may be muted for another request
			p.closeIfIdle(s.Channel)
		case p.orders.retire:
			p.move(s.Channel)
		}
	}
}

func completeSend(s *network.Send, outcome Outcome, nanos int64) {
	if s.Cookie != nil {
		s.Cookie.(Completer).Completed(outcome, nanos)
	}
}
