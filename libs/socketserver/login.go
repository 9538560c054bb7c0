package socketserver

import (
	"sync/atomic"

	"kanal/libs/network"
)

// login is a connection's authentication while there is one to be made, or to be made again.
//
// Its frames go through the channel's mute states like requests: muted when one is complete, unmuted when its answer is
// fully written. A channel that failed stays muted until its delay is over.
type login struct {
	authenticator Authenticator
	failure       AuthenticationStep // once refused
	refused       bool
	gone          atomic.Bool // the connection; its work need not be done
}

// beginLogin confines a new connection until its client has proved who it is.
func (p *Processor) beginLogin(ch *network.Channel, c *connection) {
	if p.listener.Authentication == nil {
		return
	}
	c.login = &login{authenticator: p.listener.Authentication.Authenticator(&c.Connection)}
	p.sel.Confine(ch, p.listener.MaxReceiveBeforeLogin)
}

// authenticate gives a frame to the authenticator; false for an ordinary request.
func (p *Processor) authenticate(ch *network.Channel, l *login, r *network.Receive) bool {
	var step AuthenticationStep
	if r.Err != nil {
		step = l.authenticator.Oversized(r.Err)
		step.Reason = r.Reason
	} else if step = l.authenticator.Receive(r.Frame); step.Verdict == NotAuthentication {
		return false
	}
	ch.Mute()
	p.handle(ch, network.RequestReceived)
	p.follow(ch, l, &step)
	return true
}

// finishWork goes on with an authentication whose work is done.
func (p *Processor) finishWork(ch *network.Channel) {
	l := ch.Attachment.(*connection).login
	step := l.authenticator.Finish()
	p.follow(ch, l, &step)
}

func (p *Processor) follow(ch *network.Channel, l *login, step *AuthenticationStep) {
	switch step.Verdict {
	case AuthenticationContinues:
		p.sel.Confine(ch, p.listener.MaxReceiveBeforeLogin) // a re-authentication has just begun
		p.sendStep(ch, step)
	case AuthenticationWorks:
		p.work(ch, l, step.Work)
	case Authenticated:
		p.authenticated(ch, step)
		p.sendStep(ch, step)
	case AuthenticationRefused:
		p.counts.logins.failed(step)
		p.refuse(ch, l, step)
	default:
		p.close(ch, step.Reason, step.Err)
	}
}

// sendStep writes an answer; the next frame is not looked at before its last byte is with the socket (N2).
func (p *Processor) sendStep(ch *network.Channel, step *AuthenticationStep) {
	p.sel.Send(ch, network.Send{Frame: step.Answer, Queued: p.now})
}

func (p *Processor) work(ch *network.Channel, l *login, work func()) {
	token := ch.Token()
	p.workers.do(func() {
		if !l.gone.Load() {
			work()
		}
		p.Deliver([]Response{{Token: token, Kind: workDone}})
	})
}

// authenticated lets requests in.
func (p *Processor) authenticated(ch *network.Channel, step *AuthenticationStep) {
	p.counts.logins.succeeded(step)
	p.sel.Release(ch)
	c := ch.Attachment.(*connection)
	c.Principal, c.Tag, c.who = "User:"+step.Principal, nil, 0
	if step.Endless {
		c.login = nil
	}
}

// refuse puts the end of a failed authentication off, so that guessing takes time (N16). Kafka's may come up to 300 ms
// later still; here the due time bounds the poll.
func (p *Processor) refuse(ch *network.Channel, l *login, step *AuthenticationStep) {
	l.failure, l.refused = *step, true
	if p.listener.FailedAuthenticationDelay > 0 && !ch.PeerClosed() {
		p.failures.push(throttle{Now() + int64(p.listener.FailedAuthenticationDelay), ch.Token()})
		return
	}
	p.endFailure(ch, l)
}

func (p *Processor) endFailures() {
	if len(p.failures) == 0 {
		return
	}
	now := Now()
	for f, over := p.failures.pop(now); over; f, over = p.failures.pop(now) {
		if ch := p.sel.Channel(f.token); ch != nil {
			p.endFailure(ch, ch.Attachment.(*connection).login)
		}
	}
}

// endFailure writes the last answer and closes.
func (p *Processor) endFailure(ch *network.Channel, l *login) {
	if l.failure.Answer != nil && !ch.PeerClosed() {
		p.sel.Send(ch, network.Send{Frame: l.failure.Answer, Queued: Now()})
	}
	p.close(ch, l.failure.Reason, l.failure.Err)
}

// abandoned closes a failed connection whose client does not wait for the answer. It does not get the answer early.
func (p *Processor) abandoned(ch *network.Channel) bool {
	l := ch.Attachment.(*connection).login
	if l == nil || !l.refused {
		return false
	}
	p.endFailure(ch, l)
	return true
}
