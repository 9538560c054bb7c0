package socketserver

import (
	"slices"

	"kanal/libs/network"
	"kanal/libs/protocol"
)

// route is what a request channel's queues go by, as far as a processor can know.
type route struct {
	key    protocol.APIKey
	broker int32
	client uint32
}

// parkedReceive is a request that the request channel had no room for. Its bytes stay with its muted channel: a full
// queue stops that connection and no other (unlike M1).
type parkedReceive struct {
	token    uint64
	route    route
	received int64
}

func (p *Processor) route() route {
	return route{p.request.Header.Key, p.request.Conn.Broker, p.request.Client}
}

// isWaiting tells that a request of the same route is parked, which the present one must not overtake.
func (p *Processor) isWaiting() bool { return len(p.parked) > 0 && p.waiting[p.route()] > 0 }

// park leaves the present request with its channel.
func (p *Processor) park(ch *network.Channel) {
	p.sel.Park(ch)
	ch.Attachment.(*connection).parked = true
	r := parkedReceive{ch.Token(), p.route(), p.request.Received}
	p.parked = append(p.parked, r)
	p.waiting[r.route]++
}

// offerParked offers the parked receives again after Resume, in their order. One refusal speaks for all later ones of
// its route.
func (p *Processor) offerParked() {
	if !p.orders.resume || len(p.parked) == 0 {
		return
	}
	clear(p.refused)
	p.parked = slices.DeleteFunc(p.parked, func(r parkedReceive) bool {
		if p.refused[r.route] {
			return false
		}
		if !p.offer(r) {
			p.refused[r.route] = true
			return false
		}
		if p.waiting[r.route]--; p.waiting[r.route] == 0 {
			delete(p.waiting, r.route) // clients come and go
		}
		return true
	})
}

// offer gives false when the request channel is still full.
func (p *Processor) offer(r parkedReceive) bool {
	ch := p.sel.Channel(r.token)
	if ch == nil || !p.parse(ch, p.sel.Next(ch), r.received) {
		return true
	}
	c := ch.Attachment.(*connection)
	c.parked = false
	if !p.submit(ch) {
		p.sel.Park(ch)
		c.parked = true
		return false
	}
	return true
}
