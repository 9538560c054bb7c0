package socketserver

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"kanal/libs/network"
)

// socket is an accepted connection on its way to its processor.
type socket struct {
	fd     int
	remote netip.AddrPort
	broker int32
	slot
}

// close ends a socket that no processor has registered.
func (s socket) close() {
	_ = unix.Close(s.fd)
	s.release(false)
}

// configureNewConnections registers at most as many sockets as wait at once, so that a flood of connects does not stop
// the traffic of the others (E2, KIP-402).
func (p *Processor) configureNewConnections() {
	for range newConnectionQueue {
		select {
		case s := <-p.newConnections:
			p.configure(s)
		default:
			return
		}
	}
}

func (p *Processor) configure(s socket) {
	if p.orders.drain {
		s.close()
		return
	}
	local, err := localAddress(s.fd)
	if err == nil {
		c := p.connection(s, local)
		var ch *network.Channel
		if ch, err = p.sel.Register(s.fd, nil, c); err == nil {
			c.Token = ch.Token()
			p.beginLogin(ch, c)
			p.counts.connections.Inc()
			c.client = p.clients.join(unknownSoftware, unknownSoftware)
			return
		}
	}
	s.close()
	p.counts.closed[network.ReasonRegisterFailed].Inc()
	p.log.Error("connection not registered", "client", s.remote.String(), "err", err)
}

func (p *Processor) connection(s socket, local netip.AddrPort) *connection {
	l := &p.listener
	c := &connection{slot: s.slot, Connection: Connection{
		ID: connectionID(local, s.remote, p.id, p.index), Processor: p.id, Listener: l.Name, Kind: l.Kind,
		Handler: l.Handler, Broker: s.broker, SecurityProtocol: l.SecurityProtocol, Privileged: l.Privileged,
		Principal: "User:ANONYMOUS", ClientAddress: s.remote.Addr().String(),
	}}
	p.index = max(p.index+1, 0) // wraps to 0 after 2147483647 (E3)
	return c
}
