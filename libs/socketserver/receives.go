package socketserver

import (
	"kanal/libs/network"
	"kanal/libs/protocol"
)

// processCompletedReceives hands the requests on, those first that wait for it longest (E9).
func (p *Processor) processCompletedReceives() {
	p.offerParked()
	for _, r := range p.sel.Receives() {
		if !r.Channel.Closed() {
			p.receive(&r)
		}
	}
	p.request.Frame = nil // it may be large
	if p.submitted {
		p.submitted = false
		p.rc.Flush(p.id)
	}
}

func (p *Processor) receive(r *network.Receive) {
	ch := r.Channel
	if c := ch.Attachment.(*connection); c.login != nil && p.authenticate(ch, c.login, r) || !p.parse(ch, r.Frame, p.now) {
		return
	}
	ch.Mute()
	p.mayReadAhead(ch.Attachment.(*connection))
	if p.isWaiting() || !p.submit(ch) {
		p.park(ch)
	}
}

// parse fills the request; a header that cannot be read costs the connection (L2).
func (p *Processor) parse(ch *network.Channel, frame []byte, received int64) bool {
	q := &p.request
	q.Conn, q.Frame, q.Received = &ch.Attachment.(*connection).Connection, frame, received
	if p.listener.Kind == KindKafka {
		if err := protocol.ParseHeader(frame, &q.Header); err != nil {
			p.close(ch, network.ReasonInvalidRequest, err)
			return false
		}
	}
	q.Client = q.Conn.clientOf(q.Header.ClientID)
	return true
}

// submit offers the request to the request channel; false when that is full. The channel is muted before, and what the
// handlers do meanwhile is no matter: only this loop takes up the answer (E10).
func (p *Processor) submit(ch *network.Channel) bool {
	c := ch.Attachment.(*connection)
	if c.ahead != nil {
		p.request.Sequence = c.ahead.next
	}
	ok, reason := p.rc.Submit(&p.request)
	if ok {
		p.submitted = true
		p.sel.Done(ch)
		p.taken(ch, c)
	} else if reason != network.ReasonNone {
		p.close(ch, reason, nil)
	}
	return ok || reason != network.ReasonNone
}

// taken notes that a request is under way; where more may be, the channel is read from at once.
func (p *Processor) taken(ch *network.Channel, c *connection) {
	if c.ahead == nil {
		p.handle(ch, network.RequestReceived)
		return
	}
	c.ahead.next++
	ch.Owed++
	p.readAhead(ch, c)
}
