package socketserver

import (
	"sync"

	"kanal/libs/network"
)

// orders are what a processor is told besides responses.
type orders struct {
	resume bool // there may be room for parked receives
	excess bool // there are more connections than the server may have
	drain  bool // close connections as soon as they are idle
	stop   bool // end the loop
}

// doors are how other goroutines reach a loop: put down, then wake. Waking happens under the lock that closes the doors,
// so that nobody wakes a selector whose descriptors are closed.
type doors struct {
	newConnections chan socket // has a lock of its own

	wake func()

	mu        sync.Mutex
	delivered []Response // guarded by mu
	orders    orders     // guarded by mu
	closed    bool       // guarded by mu
}

func newDoors(sel *network.Selector) doors {
	return doors{newConnections: make(chan socket, newConnectionQueue), wake: sel.Wake}
}

// Deliver hands answers over; rs is copied. Any goroutine may call it. Once the processor has stopped it completes them
// itself, as Shutdown.
func (d *doors) Deliver(rs []Response) {
	if !d.deliver(rs) {
		for i := range rs {
			rs[i].complete(Shutdown)
		}
	}
}

func (d *doors) deliver(rs []Response) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.delivered = append(d.delivered, rs...)
		d.wake()
	}
	return !d.closed
}

// Resume tells that there may be room for parked receives. Any goroutine may call it.
func (d *doors) Resume() { d.order(orders{resume: true}) }

func (d *doors) order(o orders) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orders.resume = d.orders.resume || o.resume
	d.orders.excess = d.orders.excess || o.excess
	d.orders.drain = d.orders.drain || o.drain
	d.orders.stop = d.orders.stop || o.stop
	if !d.closed {
		d.wake()
	}
}

// accept puts a socket down if there is room.
func (d *doors) accept(s socket) bool {
	select {
	case d.newConnections <- s:
		d.order(orders{})
		return true
	default:
		return false
	}
}

// queued is how many answers have not been taken up.
func (d *doors) queued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.delivered)
}

// take gives what is behind the doors; empty is memory to go on with.
func (d *doors) take(empty []Response) ([]Response, orders) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rs, o := d.delivered, d.orders
	d.delivered = empty[:0]
	d.orders.resume, d.orders.excess = false, false
	return rs, o
}

// close lets nothing in any more and empties what is there.
func (d *doors) close() {
	d.mu.Lock()
	rs := d.delivered
	d.delivered, d.closed = nil, true
	d.mu.Unlock()
	for i := range rs {
		rs[i].complete(Shutdown)
	}
	for {
		select {
		case s := <-d.newConnections:
			s.close()
		default:
			return
		}
	}
}
