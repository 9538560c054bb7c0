package socketserver

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"kanal/libs/network"
)

// newConnectionQueue is the room for sockets that wait to be registered, and how many are registered in one pass (C6).
const newConnectionQueue = 20

// socket is an accepted connection on its way to its processor.
type socket struct {
	fd     int
	remote netip.AddrPort
	broker int32
	slot
	proxied bool // a PROXY header comes first
}

// close ends a socket that no processor has registered.
func (s socket) close() {
	_ = unix.Close(s.fd)
	s.release(false)
}

// configureNewConnections registers at most as many sockets as wait at once, so that a flood of connects does not stop
// the traffic of the others (E2, KIP-402), and the connections that have moved here.
func (p *Processor) configureNewConnections() {
	if len(p.sockets)+len(p.moving) == 0 {
		return
	}
	switch {
	case p.orders.drain:
		p.turnAway(p.sockets, p.moving)
	case p.orders.retire:
		p.passOn(p.sockets, p.moving)
	default:
		p.takeIn()
	}
	p.sockets, p.moving = p.sockets[:0], p.moving[:0]
	p.pool.tellRoom()
}

func (p *Processor) takeIn() {
	for _, s := range p.sockets {
		p.configure(s)
	}
	for _, m := range p.moving {
		p.attach(m)
	}
}

// turnAway closes what comes to a loop that drains or ends.
func (p *Processor) turnAway(sockets []socket, moving []moving) {
	for _, s := range sockets {
		p.open.Add(-1)
		s.close()
	}
	for _, m := range moving {
		if ch := p.attach(m); ch != nil {
			p.close(ch, p.farewell(), nil)
		}
	}
}

func (p *Processor) configure(s socket) {
	local, err := localAddress(s.fd)
	if err == nil {
		layers := p.tls.layers()
		index := p.index
		c := p.connection(s, local)
		if s.proxied {
			layers.Preface = p.proxyHeader(c, index, s.remote, local)
		}
		var ch *network.Channel
		if ch, err = p.sel.Register(s.fd, layers, c); err == nil {
			c.Token = ch.Token()
			p.beginLogin(ch, c)
			p.counts.connections.Inc()
			c.client = p.clients.join(unknownSoftware, unknownSoftware)
			return
		}
	}
	p.open.Add(-1)
	s.close()
	p.counts.closed[network.ReasonRegisterFailed].Inc()
	p.log.Error("connection not registered", "client", s.remote.String(), "err", err)
}

func (p *Processor) connection(s socket, local netip.AddrPort) *connection {
	l := &p.listener
	c := &connection{slot: s.slot, opened: Now(), Connection: Connection{
		ID: connectionID(local, s.remote, p.id, p.index), Processor: p.id, Listener: l.Name, Kind: l.Kind,
		Handler: l.Handler, Broker: s.broker, SecurityProtocol: l.SecurityProtocol, Privileged: l.Privileged,
		Principal: nobody, ClientAddress: s.remote.Addr().String(),
	}}
	p.index = max(p.index+1, 0) // wraps to 0 after 2147483647 (E3)
	return c
}
