package socketserver

import (
	"log/slog"
	"time"

	"kanal/libs/epoll"
	"kanal/libs/network"
)

// newConnectionQueue is the room for sockets that wait to be registered, and how many are registered in one pass (C6).
const newConnectionQueue = 20

// Processor is one loop with its selector; it owns its connections from Accept to close (A8).
type Processor struct {
	// immutable after New
	id       int
	listener ListenerConfig
	rc       RequestChannel
	log      *slog.Logger
	counts   *listenerMetrics
	clients  *population
	seen     *processorCollector
	quotas   *connectionQuotas
	workers  *workers
	sel      *network.Selector
	drained  chan struct{} // closed when a draining loop has no connection left, or has ended
	ended    chan struct{}

	doors

	// owned by the loop
	metrics   processorMetrics
	responses []Response // taken from the door
	orders    orders     // taken from the door
	isDrained bool
	excess    bool  // there may be more connections than the server may have
	index     int32 // of the next connection
	now       int64 // when the pass got its events
	throttles throttles
	failures  throttles // failed authentications that wait for their close
	parked    []parkedReceive
	waiting   map[route]int // how many of parked
	refused   []route       // scratch of offerParked
	request   Request       // scratch of submit
	submitted bool          // in this pass
}

// connection is what a channel is attached to.
type connection struct {
	Connection
	slot   slot
	login  *login // nil: there is none, or it is over for good
	parked bool
	excess bool // closed because there were too many (D7)
}

func newProcessor(id int, l ListenerConfig, rc RequestChannel, q *connectionQuotas, w *workers, m *metrics, log *slog.Logger) (*Processor, error) {
	sel, err := network.New(network.Config{MaxReceiveSize: l.MaxRequestSize, Now: Now, Deadlines: l.deadlines()})
	if err != nil {
		return nil, err
	}
	return &Processor{
		id: id, listener: l, rc: rc, quotas: q, workers: w, sel: sel, log: log.With("listener", l.Name, "processor", id),
		counts: m.ofListener(&l), metrics: m.ofProcessor(l.Name, id), clients: m.clients, seen: m.processors,
		drained: make(chan struct{}), ended: make(chan struct{}), doors: newDoors(sel), waiting: map[route]int{},
	}, nil
}

// ID is the processor's number, counted over all listeners of its server.
func (p *Processor) ID() int { return p.id }

// run is the loop; every step is Kafka's (E1).
func (p *Processor) run() {
	defer p.finish()
	p.seen.add(p)
	for p.openDoors() {
		p.configureNewConnections()
		p.processNewResponses()
		p.endThrottles()
		p.endFailures()
		p.poll()
		p.processCompletedReceives()
		p.processCompletedSends()
		p.processDisconnected()
		p.closeExcessConnections()
		p.metrics.tell(p.sel.Stats(), len(p.parked))
	}
}

// openDoors takes what other goroutines have put down; false ends the loop.
func (p *Processor) openDoors() bool {
	p.sel.ClearWake() // first: what is put down from here on wakes again
	draining := p.orders.drain
	p.responses, p.orders = p.doors.take(p.responses)
	p.excess = p.excess || p.orders.excess
	if p.orders.drain && !draining {
		p.closeIdle()
	}
	if p.orders.drain && !p.isDrained && p.sel.Open() == 0 {
		p.isDrained = true
		close(p.drained)
	}
	return !p.orders.stop
}

// poll waits until the next due time at most.
func (p *Processor) poll() {
	if err := p.sel.Poll(p.timeout()); err != nil {
		p.log.Error("poll failed", "err", err) // the kernel has no such errors for a valid descriptor (E8)
	}
	p.now = p.sel.Now()
}

func (p *Processor) timeout() time.Duration {
	switch {
	case p.orders.resume && len(p.parked) > 0, p.mayExceed():
		return 0
	}
	due, any := earlier(p.throttles, p.failures)
	if !any {
		return epoll.Forever
	}
	return max(time.Duration(due-Now()), 0)
}

// handle moves a channel's mute state. An illegal event is a fault of ours and costs the connection (1.7.2).
func (p *Processor) handle(ch *network.Channel, e network.MuteEvent) {
	if err := ch.Handle(e); err != nil {
		p.close(ch, network.ReasonIllegalState, err)
	}
}

// close is the way out for all that the processor decides; the rest happens in processDisconnected, as for the peer's
// closes.
func (p *Processor) close(ch *network.Channel, reason network.CloseReason, err error) {
	p.sel.CloseChannel(ch, reason, err)
}

// finish closes everything and leaves no response without its outcome (B8).
func (p *Processor) finish() {
	for ch := range p.sel.Channels() {
		p.close(ch, network.ReasonShutdown, nil)
	}
	p.processCompletedSends()
	p.processDisconnected()
	p.metrics.tell(p.sel.Stats(), 0)
	p.seen.remove(p)
	for i := range p.responses {
		p.responses[i].complete(Shutdown)
	}
	p.doors.close()
	if err := p.sel.Close(); err != nil {
		p.log.Error("selector not closed", "err", err)
	}
	if !p.isDrained {
		close(p.drained)
	}
	close(p.ended)
}
