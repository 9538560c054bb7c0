package requestchannel

import "time"

const (
	wheelStep  = int64(100 * time.Millisecond)
	wheelSlots = 512 // 51 s; later deadlines go round again
)

// wheel holds pending requests by deadline: adding, removing and moving one is
// a few pointers, because nearly all are answered long before.
type wheel struct {
	slots [wheelSlots]*Pending
	tick  int64 // steps that have been looked at
	count int
}

func (w *wheel) add(p *Pending) {
	at := max(p.deadline/wheelStep, w.tick) + 1
	at = min(at, w.tick+wheelSlots-1)
	p.slot = int(at % wheelSlots)
	p.prev, p.next = nil, w.slots[p.slot]
	if p.next != nil {
		p.next.prev = p
	}
	w.slots[p.slot] = p
	w.count++
}

func (w *wheel) remove(p *Pending) {
	if p.slot < 0 {
		return
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		w.slots[p.slot] = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	p.prev, p.next, p.slot = nil, nil, -1
	w.count--
}

// expire calls f for every request whose deadline is before now, removed from
// the wheel already.
func (w *wheel) expire(now int64, f func(*Pending)) {
	to := now / wheelStep
	if w.count == 0 || to-w.tick > wheelSlots {
		w.tick = max(w.tick, to-wheelSlots)
	}
	for w.tick < to {
		w.tick++
		p := w.slots[w.tick%wheelSlots]
		for p != nil {
			next := p.next
			w.remove(p)
			if p.deadline <= now {
				f(p)
			} else {
				w.add(p)
			}
			p = next
		}
	}
}
