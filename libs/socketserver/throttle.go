package socketserver

// throttle is a channel muted until a time.
type throttle struct {
	due   int64 // by Now
	token uint64
}

// throttles is a heap, soonest first.
type throttles []throttle

func (h *throttles) push(t throttle) {
	*h = append(*h, t)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if s[parent].due <= s[i].due {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

// pop gives a throttle that is over at now.
func (h *throttles) pop(now int64) (throttle, bool) {
	s := *h
	if len(s) == 0 || s[0].due > now {
		return throttle{}, false
	}
	first, last := s[0], len(s)-1
	s[0] = s[last]
	*h = s[:last]
	h.down()
	return first, true
}

// earlier is when the first of two heaps is due.
func earlier(a, b throttles) (due int64, any bool) {
	switch {
	case len(a) == 0 && len(b) == 0:
		return 0, false
	case len(a) == 0 || len(b) > 0 && b[0].due < a[0].due:
		return b[0].due, true
	}
	return a[0].due, true
}

func (h *throttles) down() {
	s := *h
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < len(s) && s[child+1].due < s[child].due {
			child++
		}
		if child >= len(s) || s[i].due <= s[child].due {
			return
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
}
