package socketserver

import "kanal/libs/network"

// moving is a connection on its way from a processor that retires to one that stays. It keeps its slot, its id, its
// place in the gauges, and what has arrived of its next request.
type moving struct {
	*network.Moving
	connection *connection
}

// movesPerPassAway bounds how many connections a processor hands on in one pass.
const movesPerPassAway = 256

// beginRetiring notes the connections to look through; those that are busy follow as they become quiet.
func (p *Processor) beginRetiring() {
	for ch := range p.sel.Channels() {
		p.toMove = append(p.toMove, ch.Token())
	}
}

// moveQuiet looks through the next of them.
func (p *Processor) moveQuiet() {
	n := min(len(p.toMove), movesPerPassAway)
	for _, token := range p.toMove[:n] {
		if ch := p.sel.Channel(token); ch != nil && !p.move(ch) {
			p.stopReadingAhead(ch)
		}
	}
	if p.toMove = p.toMove[n:]; len(p.toMove) == 0 {
		p.toMove = nil
	}
}

// move hands a connection on if it is quiet; else its last answer, or the end of its throttle, tries again. The request
// channel hears that the old token is gone: it has no request of it any more.
func (p *Processor) move(ch *network.Channel) bool {
	c := ch.Attachment.(*connection)
	if c.parked || c.ahead != nil && c.ahead.throttled != 0 || !ch.Quiet() {
		return false
	}
	m, err := p.sel.Detach(ch)
	if err != nil {
		p.close(ch, network.ReasonInternal, err)
		return true
	}
	p.rc.Disconnected(p.id, ch.Token(), false)
	p.passOn(nil, []moving{{m, c}})
	return true
}

// passOn gives what this processor does not take to those that stay.
func (p *Processor) passOn(sockets []socket, moving []moving) {
	for i := range sockets {
		p.pool.handOn(p, sockets[i:i+1], nil)
	}
	for i := range moving {
		p.pool.handOn(p, nil, moving[i:i+1])
	}
}

// attach goes on with a connection that another processor had.
func (p *Processor) attach(m moving) *network.Channel {
	c := m.connection
	ch, err := p.sel.Attach(m.Moving, c)
	if err != nil {
		_ = m.Close()
		p.ended(c, network.ReasonRegisterFailed, err)
		return nil
	}
	c.Processor, c.Token = p.id, ch.Token()
	return ch
}
