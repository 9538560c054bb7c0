package socketserver

import (
	"runtime"
	"sync"
)

// workers run what would keep a loop too long, a few at a time; the rest waits in turn. A connection has one piece of
// work at most, which bounds the queue.
type workers struct {
	limit int // at a time

	mu      sync.Mutex
	queue   []func() // guarded by mu
	running int      // guarded by mu
	all     sync.WaitGroup
}

// newWorkers leaves at least half of the CPUs to the loops, but for one.
func newWorkers() *workers { return &workers{limit: max(runtime.GOMAXPROCS(0)/2, 1)} }

// do never blocks.
func (w *workers) do(work func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, work)
	if w.running < w.limit {
		w.running++
		w.all.Go(w.run)
	}
}

// run works until the queue is empty: an idle server has no worker.
func (w *workers) run() {
	for work := w.next(); work != nil; work = w.next() {
		work()
	}
}

func (w *workers) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.queue = nil
		w.running--
		return nil
	}
	work := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return work
}

// wait returns when all work is done. No more may come.
func (w *workers) wait() { w.all.Wait() }
