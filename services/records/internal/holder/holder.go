// Package holder keeps the topic logs that this instance has open, and knows which ones it should. Holding is only a matter of speed:
// rendezvous hashing over the announcements says who serves a broker's logs, and the logs themselves settle it when two believe it.
// Its Kafka counterpart is ReplicaManager's table of partitions.
package holder

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kanal/libs/cluster"
	"kanal/services/records/internal/topiclog"
)

// Service is the name under which instances that hold topic logs announce themselves.
const Service = "records"

const (
	openTimeout   = 30 * time.Second
	sweepInterval = time.Second
	reopenAfter   = 200 * time.Millisecond // a log that did not open is left alone for so long
	idleElsewhere = 15 * time.Second       // then a log that another instance holds is closed
	idleHere      = 15 * time.Minute       // then a log that nobody asks for is closed
	lookedAt      = 20 * time.Second       // then one that was opened for upkeep only
)

// View says which instance holds a broker, and which one this is.
type View interface {
	ID() string
	Holder(service string, broker int32) (instance string, ok bool)
}

// Topics is what is asked of the cluster's registry.
type Topics interface {
	TopicByID(id [16]byte) *cluster.Topic
	Leader(topic string, index int32) int32
}

// Opener opens one log of a topic.
type Opener func(ctx context.Context, t *cluster.Topic, index int32) (*topiclog.Log, error)

// Holder is the table of open logs. Its methods may be called from any goroutine.
type Holder struct {
	view   View
	topics Topics
	open   Opener
	log    *slog.Logger
	now    func() time.Time

	change  chan struct{} // capacity 1
	working sync.WaitGroup

	mu      sync.Mutex
	entries map[key]*Opening
	closed  bool
}

type key struct {
	topic [16]byte
	index int32
}

// Opening is a log that is being opened, or is open.
type Opening struct {
	ready  chan struct{}
	log    *topiclog.Log // set before ready is closed, as the next two
	err    error
	failed time.Time

	// guarded by the Holder's mu
	name string
	used time.Time
	here bool // held by this instance when last looked at
}

// New makes a holder.
func New(view View, topics Topics, open Opener, log *slog.Logger) *Holder {
	return &Holder{view: view, topics: topics, open: open, log: log, now: time.Now,
		change: make(chan struct{}, 1), entries: map[key]*Opening{}}
}

// Elsewhere names the other instance that holds a log; false if this one does, or nobody is known to.
func (h *Holder) Elsewhere(topic string, index int32) (string, bool) {
	instance, ok := h.view.Holder(Service, h.topics.Leader(topic, index))
	return instance, ok && instance != h.view.ID()
}

// Open starts opening a log if it is not open yet. Everybody who asks meanwhile shares the attempt; some time after
// one that failed, the next caller starts another.
func (h *Holder) Open(t *cluster.Topic, index int32) *Opening {
	_, elsewhere := h.Elsewhere(t.Name, index)
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.opening(t, index)
	o.used, o.here = h.now(), !elsewhere
	return o
}

// Look is Open for upkeep: a log that nobody else asks for is closed again soon.
func (h *Holder) Look(t *cluster.Topic, index int32) *Opening {
	_, elsewhere := h.Elsewhere(t.Name, index)
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.opening(t, index)
	o.here = !elsewhere
	if closes := h.now().Add(lookedAt - idleHere); o.used.Before(closes) {
		o.used = closes
	}
	return o
}

// IsOpen tells whether a log is open, or about to be.
func (h *Holder) IsOpen(t *cluster.Topic, index int32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[key{t.ID, index}] != nil
}

// opening is the attempt to share, a new one if need be; mu is held.
func (h *Holder) opening(t *cluster.Topic, index int32) *Opening {
	k := key{t.ID, index}
	o := h.entries[k]
	if o == nil || o.over(h.now()) {
		o = &Opening{ready: make(chan struct{}), name: t.Name}
		if h.closed {
			o.err = fmt.Errorf("open log %d of %s: this instance is leaving", index, t.Name)
			close(o.ready)
			return o
		}
		h.entries[k] = o
		h.working.Go(func() { h.fill(o, t, index) })
	}
	return o
}

// over tells whether an attempt has failed, a while ago, or the log has ended by itself.
func (o *Opening) over(now time.Time) bool {
	select {
	case <-o.ready:
	default:
		return false
	}
	if o.err != nil {
		return now.Sub(o.failed) >= reopenAfter
	}
	select {
	case <-o.log.Done():
		return true
	default:
		return false
	}
}

func (h *Holder) fill(o *Opening, t *cluster.Topic, index int32) {
	defer close(o.ready)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if o.log, o.err = h.open(ctx, t, index); o.err != nil {
		o.failed = h.now()
		h.log.Warn("topic log could not be opened; clients are told to try again", "topic", t.Name, "log", index, "err", o.err)
	}
}

// Wait returns the log once it is open.
func (o *Opening) Wait(ctx context.Context) (*topiclog.Log, error) {
	select {
	case <-o.ready:
		return o.log, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Changed says that the view or the topics have changed; it does not block.
func (h *Holder) Changed() {
	select {
	case h.change <- struct{}{}:
	default:
	}
}

// Run tends to the open logs until ctx ends, and then closes them all.
func (h *Holder) Run(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		h.sweep()
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-h.change:
		}
	}
	h.mu.Lock()
	h.closed = true
	for k, o := range h.entries {
		h.drop(k, o)
	}
	h.mu.Unlock()
	h.working.Wait()
}

// sweep closes the logs of deleted topics and those that nobody asks for, and wakes who waits on logs that are held elsewhere now.
func (h *Holder) sweep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for k, o := range h.entries {
		_, elsewhere := h.Elsewhere(o.name, k.index)
		patience := idleHere
		if elsewhere {
			patience = idleElsewhere
		}
		switch {
		case h.topics.TopicByID(k.topic) == nil || now.Sub(o.used) > patience:
			h.drop(k, o)
		case elsewhere && o.here && o.isOpen():
			o.log.Interrupt()
		}
		o.here = !elsewhere
	}
}

func (o *Opening) isOpen() bool {
	select {
	case <-o.ready:
		return o.err == nil
	default:
		return false
	}
}

// drop closes a log, beside the others, since its last message may still be on the way; mu is held.
func (h *Holder) drop(k key, o *Opening) {
	delete(h.entries, k)
	h.working.Go(func() {
		<-o.ready
		if o.err == nil {
			o.log.Close()
		}
	})
}
