package topiclog

import (
	"math"
	"sync/atomic"
)

// Waiter waits for bytes in one or several partitions, of one or several logs: a parked fetch.
type Waiter struct {
	// Stable is set for a fetch that reads only up to the last stable offset, before the Waiter is used.
	Stable bool

	c    chan struct{}
	need atomic.Int64
}

// NewWaiter makes a waiter for so many bytes.
func NewWaiter(bytes int) *Waiter {
	w := &Waiter{c: make(chan struct{}, 1)}
	w.need.Store(int64(bytes))
	return w
}

// C gets a value when the bytes are there, or something else happened that the fetch should look at.
func (w *Waiter) C() <-chan struct{} { return w.c }

// Arrived counts bytes in.
func (w *Waiter) Arrived(bytes int) {
	if w.need.Add(-int64(bytes)) <= 0 {
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}

// Watch adds a waiter to a partition whose end, or last stable offset if that is what the waiter waits for, was last seen at an offset;
// what came since counts as enough.
func (l *Log) Watch(number int32, seen int64, w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.partition(number)
	if p.waiters == nil {
		p.waiters = map[*Waiter]struct{}{}
	}
	p.waiters[w] = struct{}{}
	end := p.next
	if w.Stable {
		end = p.stable()
	}
	if end != seen || l.stopped() {
		w.Arrived(math.MaxInt32)
	}
}

// Unwatch takes a waiter out.
func (l *Log) Unwatch(number int32, w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.state.partitions[number]; p != nil {
		delete(p.waiters, w)
	}
}

// moved tells a partition's waiters of an entry; stable is where the last stable offset was before. Where a transaction has ended it is
// not known how many bytes that is to whom: they look again. The log's mu is held.
func (p *partition) moved(e *Entry, stable int64) {
	now := p.stable()
	for w := range p.waiters {
		switch {
		case !w.Stable, now == e.Next && stable == e.Base:
			w.Arrived(e.Length)
		case now != stable:
			w.Arrived(math.MaxInt32)
		}
	}
}

// wake tells a partition's waiters of new bytes; the log's mu is held.
func (p *partition) wake(bytes int) {
	for w := range p.waiters {
		w.Arrived(bytes)
	}
}

// Interrupt wakes everybody who waits on this log: somebody else holds it now, or it has ended.
func (l *Log) Interrupt() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.state.partitions {
		p.wake(math.MaxInt32)
	}
}

// stopped tells whether the log has failed or was closed.
func (l *Log) stopped() bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	return l.ended != nil
}
