package socketserver

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"kanal/libs/epoll"
	"kanal/libs/network"
)

// Processor is one loop with its selector; it owns its connections from Accept to close (A8).
type Processor struct {
	// immutable after New
	id       int
	listener ListenerConfig
	rc       RequestChannel
	log      *slog.Logger
	counts   *listenerMetrics
	lastCall time.Duration // Config.LastCall
	clients  *population
	seen     *processorCollector
	quotas   *connectionQuotas
	workers  *workers
	pool     *pool // those of the same listener
	sel      *network.Selector
	tls      *listenerTLS  // nil without
	drained  chan struct{} // closed when a draining loop has no connection left, or has ended
	gone     chan struct{} // closed when the loop has ended and nothing refers to it any more

	doors
	open atomic.Int64 // connections that are here or on their way
	busy busyness

	// owned by the loop
	contents  // taken from the doors
	metrics   processorMetrics
	isDrained bool
	// lastCallEnds is when a draining loop takes up no further requests; 0: it does not drain, or the call is over.
	lastCallEnds int64
	toMove       []uint64 // connections to hand on when they are quiet, and not looked at yet
	round        uint     // of the processors to hand on to
	excess       bool     // there may be more connections than the server may have
	index        int32    // of the next connection
	now          int64    // when the pass got its events
	throttles    throttles
	failures     throttles // failed authentications that wait for their close
	parked       []parkedReceive
	waiting      map[route]int  // how many of parked
	refused      map[route]bool // scratch of offerParked
	request      Request        // scratch of submit
	submitted    bool           // in this pass
}

// connection is what a channel is attached to.
type connection struct {
	Connection
	slot   slot
	opened int64   // by Now
	login  *login  // nil: there is none, or it is over for good
	ahead  *ahead  // nil: one request at a time
	tls    *member // of the connections by protocol and cipher
	parked bool
	excess bool // closed because there were too many (D7)
}

func (s *Server) newProcessor(id int, a *acceptor) (*Processor, error) {
	l, budget := a.listener, s.budget
	if l.Privileged && s.privilegedBudget != nil {
		budget = s.privilegedBudget
	}
	sel, err := network.New(network.Config{MaxReceiveSize: l.MaxRequestSize, Now: Now, Deadlines: l.deadlines(), Budget: budget})
	if err != nil {
		return nil, err
	}
	p := &Processor{
		id: id, listener: l, lastCall: s.lastCall, rc: s.rc, quotas: s.quotas, workers: s.workers, pool: a.pool, tls: a.tls, sel: sel, log: a.log.With("processor", id),
		counts: a.counts, metrics: s.metrics.ofProcessor(l.Name, id), clients: s.metrics.clients, seen: s.metrics.processors,
		drained: make(chan struct{}), gone: make(chan struct{}), doors: doors{wake: sel.Wake}, waiting: map[route]int{}, refused: map[route]bool{},
	}
	p.busy.asked.Store(Now())
	if err := s.rc.AddProcessor(p); err != nil {
		s.metrics.forgetProcessor(l.Name, id)
		return nil, errors.Join(err, sel.Close())
	}
	return p, nil
}

// ID is the processor's number, counted over all listeners of its server.
func (p *Processor) ID() int { return p.id }

// run is the loop; every step is Kafka's (E1).
func (p *Processor) run() {
	defer p.finish()
	p.seen.add(p)
	for p.openDoors() {
		p.runErrands()
		p.configureNewConnections()
		p.processNewResponses()
		p.endThrottles()
		p.endFailures()
		p.poll()
		p.processPrepared()
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
	before := p.orders
	p.doors.take(&p.contents)
	p.excess = p.excess || p.orders.excess
	if p.orders.retire && !before.retire {
		p.beginRetiring()
	}
	if p.orders.drain {
		p.drainOn(!before.drain)
	}
	p.moveQuiet()
	if p.orders.drain && !p.isDrained && p.sel.Open() == 0 {
		p.isDrained = true
		close(p.drained)
	}
	return !p.orders.stop && !(p.orders.retire && p.isEmpty() && p.doors.closeIfEmpty())
}

func (p *Processor) isEmpty() bool { return p.sel.Open()+len(p.sockets)+len(p.moving) == 0 }

// poll waits until the next due time at most.
func (p *Processor) poll() {
	if err := p.sel.Poll(p.timeout()); err != nil {
		p.log.Error("poll failed", "err", err) // the kernel has no such errors for a valid descriptor (E8)
	}
	p.now = p.sel.Now()
}

func (p *Processor) timeout() time.Duration {
	switch {
	case p.orders.resume && len(p.parked) > 0, p.mayExceed(), p.more, len(p.toMove) > 0, p.orders.retire && p.isEmpty():
		return 0
	}
	due, any := earlier(p.throttles, p.failures)
	if p.lastCallEnds > 0 && (!any || due > p.lastCallEnds) {
		due, any = p.lastCallEnds, true
	}
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

// farewell is why connections are closed that are closed for the loop's sake.
func (p *Processor) farewell() network.CloseReason {
	if p.orders.reason != network.ReasonNone {
		return p.orders.reason
	}
	return network.ReasonShutdown
}

// finish closes everything and leaves no response without its outcome (B8).
func (p *Processor) finish() {
	rest := p.doors.close()
	p.turnAway(append(p.sockets, rest.sockets...), append(p.moving, rest.moving...))
	for ch := range p.sel.Channels() {
		p.close(ch, p.farewell(), nil)
	}
	p.processCompletedSends()
	p.processDisconnected()
	p.metrics.tell(p.sel.Stats(), 0)
	p.seen.remove(p)
	for _, r := range append(p.responses, rest.responses...) {
		r.complete(Shutdown)
	}
	if err := p.sel.Close(); err != nil {
		p.log.Error("selector not closed", "err", err)
	}
	if !p.isDrained {
		close(p.drained)
	}
}
