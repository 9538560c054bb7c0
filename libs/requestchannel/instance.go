package requestchannel

// instance is a handler instance as the dispatcher sees it.
type instance struct {
	id      string
	subject string
	route   *Route
	state   string
	share   int // of its window
	number  uint64
	session uint64
	seen    bool // in the newest view

	outstanding int
	parked      int
	heard       int64 // when it last answered anything
	probed      int64
}

// open tells whether it may get another request now.
func (i *instance) open() bool { return i.state == StateReady && i.outstanding < i.share }

// owes tells whether an answer of it is awaited.
func (i *instance) owes() bool { return i.outstanding+i.parked > 0 }
