package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kanal/libs/requestchannel"
)

// View is the part of the living cluster that addresses come from.
type View interface {
	FrontEnds() []requestchannel.FrontEnd
	OnChange(func())
}

// Broker is a broker as clients of one listener see it.
type Broker struct {
	ID   int32
	Host string
	Port int32
}

// Brokers finds addresses of brokers among the live front ends.
type Brokers struct {
	view View // set by Follow

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the view changes
}

// NewBrokers makes one without a view: the view comes with the server, which
// needs the mux, which needs this.
func NewBrokers() *Brokers { return &Brokers{changed: make(chan struct{})} }

// Follow gives the view. It must be called before List.
func (b *Brokers) Follow(view View) {
	b.view = view
	view.OnChange(b.wake)
}

func (b *Brokers) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// FrontEnds are the front ends that live.
func (b *Brokers) FrontEnds() []requestchannel.FrontEnd { return b.view.FrontEnds() }

// patience is how long a request waits for the announcement of the front end
// that it came by: an instance that has just started has heard of none.
const patience = 5 * time.Second

// Now is List without patience: nil when no live front end has the listener.
func (b *Brokers) Now(listener string, n int32) []Broker {
	return place(b.view.FrontEnds(), listener, n)
}

// List gives the address of every broker, 1 to n, on a listener.
func (b *Brokers) List(ctx context.Context, listener string, n int32) ([]Broker, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if found := place(b.view.FrontEnds(), listener, n); found != nil {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no live front end has listener %q: %w", listener, ctx.Err())
		}
	}
}

// place chooses a front end for each broker by rendezvous hashing, so that a
// front end that leaves moves only its own brokers and all instances with the
// same view give the same answer. Those that drain are chosen when no other is
// left. Nil when nobody has the listener.
func place(frontEnds []requestchannel.FrontEnd, listener string, n int32) []Broker {
	candidates := having(frontEnds, listener, requestchannel.StateReady)
	if len(candidates) == 0 {
		candidates = having(frontEnds, listener, requestchannel.StateDraining)
	}
	if len(candidates) == 0 {
		return nil
	}
	out := make([]Broker, n)
	for i := range out {
		id := int32(i) + 1
		best := &candidates[0]
		for c := range candidates[1:] {
			if o := &candidates[c+1]; requestchannel.Weight(o.ID, id) > requestchannel.Weight(best.ID, id) {
				best = o
			}
		}
		a := best.Addresses[listener]
		out[i] = Broker{ID: id, Host: a.Host, Port: int32(a.PortOf(id))}
	}
	return out
}

func having(frontEnds []requestchannel.FrontEnd, listener, state string) (out []requestchannel.FrontEnd) {
	for _, f := range frontEnds {
		if _, ok := f.Addresses[listener]; ok && f.State == state {
			out = append(out, f)
		}
	}
	return out
}
