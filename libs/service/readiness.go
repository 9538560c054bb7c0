package service

import (
	"maps"
	"slices"
	"sync"
)

// Readiness collects what a process still waits for. It is ready when nothing
// is left. Methods may be called from any goroutine; a nil Readiness ignores all.
type Readiness struct {
	mu      sync.Mutex
	waiting map[string]string
}

// Waiting says that the process is not ready because of what, and why.
func (r *Readiness) Waiting(what, why string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[string]string{}
	}
	r.waiting[what] = why
}

// Done takes back what Waiting said.
func (r *Readiness) Done(what string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, what)
}

// Missing lists what the process waits for; empty means ready.
func (r *Readiness) Missing() (out []string) {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(r.waiting)) {
		out = append(out, what+": "+r.waiting[what])
	}
	return out
}
