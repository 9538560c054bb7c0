package network

// timers is a heap of channels, soonest due first. Each knows its place, so that it can leave or become due earlier.
type timers []*Channel

func (h *timers) push(c *Channel) {
	*h = append(*h, c)
	c.place = len(*h)
	h.up(c.place)
}

func (h *timers) remove(c *Channel) {
	place, last := c.place, len(*h)
	if place == 0 {
		return
	}
	h.swap(place, last)
	(*h)[last-1] = nil
	*h, c.place = (*h)[:last-1], 0
	if place < last {
		h.up(place)
		h.down(place)
	}
}

// up and down take places, counted from 1.
func (h timers) up(place int) {
	for place > 1 && h[place-1].due < h[place/2-1].due {
		h.swap(place, place/2)
		place /= 2
	}
}

func (h timers) down(place int) {
	for {
		child := 2 * place
		if child < len(h) && h[child].due < h[child-1].due {
			child++
		}
		if child > len(h) || h[place-1].due <= h[child-1].due {
			return
		}
		h.swap(place, child)
		place = child
	}
}

func (h timers) swap(a, b int) {
	h[a-1], h[b-1] = h[b-1], h[a-1]
	h[a-1].place, h[b-1].place = a, b
}
