package network

// partials are the channels of a selector that hold bytes of a frame that is not complete, or not cut yet, in the order
// in which these came: the stalest first. A small frame that comes whole in one read is never among them, nor is one
// that is parked, which waits for us.
type partials struct {
	first, last *Channel
	bytes       int // of all their buffers
}

// partial is a channel's place in that list.
type partial struct {
	bytes      int // of its buffer; 0: not in the list
	grew       int64
	prev, next *Channel
}

func (l *partials) push(c *Channel, bytes int) {
	c.partial = partial{bytes: bytes, grew: c.partial.grew, prev: l.last}
	if l.last == nil {
		l.first = c
	} else {
		l.last.partial.next = c
	}
	l.last = c
	l.bytes += bytes
}

func (l *partials) remove(c *Channel) {
	p := &c.partial
	if p.bytes == 0 {
		return
	}
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.partial.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.partial.prev = p.prev
	}
	l.bytes -= p.bytes
	*p = partial{grew: p.grew}
}

// note takes down what is left of c's bytes after a turn or a pass. grown tells that some of them have just come.
func (l *partials) note(c *Channel, grown bool) {
	bytes := 0
	if c.in.owned && !c.parked {
		bytes = cap(c.in.data)
	}
	if p := &c.partial; bytes > 0 && p.bytes > 0 && !grown {
		l.bytes += bytes - p.bytes
		p.bytes = bytes
		return
	}
	l.remove(c)
	if bytes > 0 {
		l.push(c, bytes)
	}
}
