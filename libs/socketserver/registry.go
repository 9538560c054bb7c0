package socketserver

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// mostProcessors bounds the ids: the request channel's envelope has 16 bits for them.
const mostProcessors = 1 << 16

// errTooManyProcessors reports that no id is free.
var errTooManyProcessors = errors.New("socketserver: too many processors")

// registry knows the processors of all listeners until they have ended.
type registry struct {
	mu   sync.Mutex
	next int
	all  atomic.Pointer[[]*Processor] // by rising id; replaced as a whole
}

func (r *registry) list() []*Processor {
	if all := r.all.Load(); all != nil {
		return *all
	}
	return nil
}

// add makes a processor with an id that was in use longest ago, so that what is late for another never meets it.
func (r *registry) add(make func(id int) (*Processor, error)) (*Processor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.list()
	if len(all) == mostProcessors {
		return nil, errTooManyProcessors
	}
	at, used := place(all, r.next)
	for used {
		r.next = (r.next + 1) % mostProcessors
		at, used = place(all, r.next)
	}
	p, err := make(r.next)
	if err != nil {
		return nil, err
	}
	r.next = (r.next + 1) % mostProcessors
	r.set(slices.Insert(slices.Clone(all), at, p))
	return p, nil
}

func (r *registry) remove(p *Processor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(slices.DeleteFunc(slices.Clone(r.list()), func(other *Processor) bool { return other == p }))
}

func (r *registry) set(all []*Processor) { r.all.Store(&all) }

func place(all []*Processor, id int) (int, bool) {
	return slices.BinarySearchFunc(all, id, func(p *Processor, id int) int { return p.id - id })
}
