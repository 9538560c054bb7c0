package requestchannel

// instance is a handler instance as the dispatcher sees it.
type instance struct {
	id      string
	subject string
	service *service
	state   string
	share   int // of its window
	kept    int // of that, for privileged listeners
	number  uint64
	session uint64
	seen    bool // in the newest view

	outstanding int
	privileged  int // of them
	parked      int
	heard       int64 // when it last answered anything
	probed      int64
}

// keptOf is how much of a share of a window privileged listeners have for
// themselves, where there are any.
func keptOf(share int) int { return max(1, share/8) }

// open tells whether it may get another request now. Privileged ones may take
// the whole share, and what is kept for them whatever the others have.
func (i *instance) open(privileged bool) bool {
	switch {
	case i.state != StateReady:
		return false
	case privileged:
		return i.outstanding < i.share || i.privileged < i.kept
	}
	return i.outstanding < i.share && i.outstanding-i.privileged < max(1, i.share-i.kept)
}

// took and gave count a request that it has within its window.
func (i *instance) took(p *Pending) {
	i.outstanding++
	if p.Privileged {
		i.privileged++
	}
}

func (i *instance) gave(p *Pending) {
	i.outstanding--
	if p.Privileged {
		i.privileged--
	}
}

// owes tells whether an answer of it is awaited.
func (i *instance) owes() bool { return i.outstanding+i.parked > 0 }
