package socketserver

import (
	"sync"

	"kanal/libs/network"
)

// orders are what a processor is told besides responses.
type orders struct {
	resume bool // there may be room for parked receives
	excess bool // there are more connections than the server may have
	retire bool // hand the connections on as they become quiet, then end
	drain  bool // close connections as soon as they are idle
	stop   bool // end the loop

	reason network.CloseReason // of what drain and stop close; the last one counts
}

// doors are how other goroutines reach a loop: put down, then wake. Waking happens under the lock that closes the doors,
// so that nobody wakes a selector whose descriptors are closed, and nothing is put down that nobody will find: a closed
// door tells so, and who stands before it goes to another (unlike KAFKA-16768).
type doors struct {
	wake func()

	mu        sync.Mutex
	accepted  []socket   // guarded by mu; not registered yet
	arriving  []moving   // guarded by mu; from processors that retire
	delivered []Response // guarded by mu
	ordered   orders     // guarded by mu
	asked     []func()   // guarded by mu; errands
	closed    bool       // guarded by mu
}

// contents are what a loop takes from its doors in one pass, and its memory for the next.
type contents struct {
	sockets   []socket
	moving    []moving
	responses []Response
	orders    orders
	errands   []func()
	more      bool // sockets or moving connections were left for the next pass
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
	d.ordered.resume = d.ordered.resume || o.resume
	d.ordered.excess = d.ordered.excess || o.excess
	d.ordered.retire = d.ordered.retire || o.retire
	d.ordered.drain = d.ordered.drain || o.drain
	d.ordered.stop = d.ordered.stop || o.stop
	if o.reason != network.ReasonNone {
		d.ordered.reason = o.reason
	}
	if !d.closed {
		d.wake()
	}
}

// send puts an errand down: the loop runs it in its next pass, so it must not take long. False when the doors are closed.
func (d *doors) send(errand func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.asked = append(d.asked, errand)
		d.wake()
	}
	return !d.closed
}

// accept puts a socket down if there is room (C6); false also when the doors are closed.
func (d *doors) accept(s socket) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.accepted) >= newConnectionQueue {
		return false
	}
	d.accepted = append(d.accepted, s)
	d.wake()
	return true
}

// queued is how many answers have not been taken up.
func (d *doors) queued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.delivered)
}

// handOn puts down what another processor lets go, whatever the room: it was accepted long ago. False when the doors
// are closed.
func (d *doors) handOn(s []socket, m []moving) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.accepted, d.arriving = append(d.accepted, s...), append(d.arriving, m...)
	d.wake()
	return true
}

// movesPerPass keeps many connections that move here at once from stopping the traffic of the others, as
// newConnectionQueue does for new ones.
const movesPerPass = 64

// take gives what is behind the doors, reusing the memory of what was taken before.
func (d *doors) take(c *contents) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.sockets, d.accepted = cut(d.accepted, c.sockets, newConnectionQueue)
	c.moving, d.arriving = cut(d.arriving, c.moving, movesPerPass)
	c.more = len(d.accepted)+len(d.arriving) > 0
	c.responses, d.delivered = d.delivered, c.responses[:0]
	c.orders = d.ordered
	c.errands, d.asked = d.asked, nil
	d.ordered.resume, d.ordered.excess = false, false
}

// cut splits the first n off; empty is memory.
func cut[T any](all, empty []T, n int) (first, rest []T) {
	if len(all) == 0 {
		return empty[:0], all
	}
	n = min(n, len(all))
	first = append(empty[:0], all[:n]...)
	rest = append(all[:0], all[n:]...)
	clear(all[len(rest):])
	return first, rest
}

// closeIfEmpty closes the doors of a processor that retires, unless somebody has put something down.
func (d *doors) closeIfEmpty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = d.closed || len(d.accepted)+len(d.arriving) == 0
	return d.closed
}

// close lets nothing in any more and gives what is there.
func (d *doors) close() (rest contents) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest = contents{sockets: d.accepted, moving: d.arriving, responses: d.delivered}
	d.accepted, d.arriving, d.delivered, d.asked, d.closed = nil, nil, nil, nil, true
	return rest
}
