package loadgen

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Drive runs a load and gives its result. watch, which may be nil, is called
// once a second meanwhile, on a goroutine of Drive. When ctx ends the load ends
// early; that is no error. What fails single requests is in the result.
func Drive(ctx context.Context, cfg Config, watch func(Progress)) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	workers, clock, err := newWorkers(p, cfg)
	if err != nil {
		return nil, err
	}
	defer workers.close()
	if err := workers.each(func(w *worker) error { return w.connect(ctx) }); err != nil {
		return nil, err
	}
	begun := clock()
	if watch != nil {
		defer workers.report(watch, clock)()
	}
	until := begun + int64(cfg.Duration)
	if err := workers.each(func(w *worker) error { return w.run(ctx, until) }); err != nil {
		return nil, err
	}
	return workers.result(cfg, p, time.Duration(begun)), nil
}

type workers []*worker

// newWorkers makes one worker per CPU, unless there are fewer connections.
func newWorkers(p *plan, cfg Config) (all workers, clock func() int64, err error) {
	origin := time.Now()
	clock = func() int64 { return int64(time.Since(origin)) }
	n := min(runtime.GOMAXPROCS(0), cfg.Connections)
	for i := range n {
		w, err := newWorker(p, cfg, i, n, clock)
		if err != nil {
			all.close()
			return nil, nil, err
		}
		all = append(all, w)
	}
	return all, clock, nil
}

// each runs f for all workers side by side.
func (ws workers) each(f func(*worker) error) error {
	var wait sync.WaitGroup
	errs := make([]error, len(ws))
	for i, w := range ws {
		wait.Go(func() { errs[i] = f(w) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err // the others' are its like
		}
	}
	return nil
}

func (ws workers) close() {
	for _, w := range ws {
		_ = w.sel.Close() // descriptors of ours, and nothing more to be done with them
	}
}

// report calls watch every second until the returned function is called.
func (ws workers) report(watch func(Progress), clock func() int64) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		before, begun := Progress{}, clock()
		for {
			select {
			case <-tick.C:
				now := ws.progress(time.Duration(clock() - begun))
				watch(now.since(before))
				before = now
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}
