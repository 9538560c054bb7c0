package handler

import (
	"sync"
	"time"
)

// idleWorker is how long a worker waits for its next job before it ends.
const idleWorker = 10 * time.Second

// pool runs jobs on goroutines that are kept for a while: their stacks have
// grown already. It has no bound of its own; windows bound what runs, and a
// parked long poll keeps its goroutine.
type pool[T any] struct {
	run  func(T)
	jobs chan T
	all  sync.WaitGroup
}

func newPool[T any](run func(T)) *pool[T] { return &pool[T]{run: run, jobs: make(chan T)} }

// submit hands a job to an idle worker, or to a new one. It never blocks.
func (p *pool[T]) submit(job T) {
	select {
	case p.jobs <- job:
	default:
		p.all.Go(func() { p.work(job) })
	}
}

func (p *pool[T]) work(job T) {
	idle := time.NewTimer(idleWorker)
	defer idle.Stop()
	for {
		p.run(job)
		idle.Reset(idleWorker)
		select {
		case next, open := <-p.jobs:
			if !open {
				return
			}
			job = next
		case <-idle.C:
			return
		}
	}
}

// close waits until every worker has ended; no submit may follow.
func (p *pool[T]) close() {
	close(p.jobs)
	p.all.Wait()
}
