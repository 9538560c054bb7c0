package coordinator

import "sync"

// mailbox hands work to one goroutine, in order. Posting never blocks: the
// log's goroutine posts, and the owner of the mailbox submits to the log.
type mailbox struct {
	wake chan struct{} // has one element when there may be work

	mu     sync.Mutex
	queue  []func()
	closed bool
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post adds work; false when nobody will do it any more.
func (m *mailbox) post(f func()) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns all work, reusing the slice that was done before.
func (m *mailbox) take(done []func()) []func() {
	clear(done)
	m.mu.Lock()
	defer m.mu.Unlock()
	work := m.queue
	m.queue = done[:0]
	return work
}

// close refuses all further work and returns what was left.
func (m *mailbox) close() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.queue
}
