package socketserver

import (
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/epoll"
	"kanal/libs/network"
	"kanal/libs/protocol"
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
	sel      *network.Selector
	drained  chan struct{} // closed when a draining loop has no connection left, or has ended
	ended    chan struct{}

	doors

	// owned by the loop
	metrics   processorMetrics
	responses []Response // taken from the door
	orders    orders     // taken from the door
	isDrained bool
	index     int32 // of the next connection
	now       int64 // when the pass got its events
	throttles throttles
	parked    []parkedReceive
	waiting   map[route]int // how many of parked
	refused   []route       // scratch of offerParked
	request   Request       // scratch of submit
	submitted bool          // in this pass
}

// connection is what a channel is attached to.
type connection struct {
	Connection
	parked bool
}

func newProcessor(id int, l ListenerConfig, rc RequestChannel, m *metrics, log *slog.Logger) (*Processor, error) {
	sel, err := network.New(network.Config{MaxReceiveSize: l.MaxRequestSize})
	if err != nil {
		return nil, err
	}
	return &Processor{
		id: id, listener: l, rc: rc, sel: sel, log: log.With("listener", l.Name, "processor", id),
		counts: m.ofListener(l.Name), metrics: m.ofProcessor(id), index: 0,
		drained: make(chan struct{}), ended: make(chan struct{}), doors: newDoors(sel), waiting: map[route]int{},
	}, nil
}

// ID is the processor's number, counted over all listeners of its server.
func (p *Processor) ID() int { return p.id }

// run is the loop; every step is Kafka's (E1).
func (p *Processor) run() {
	defer p.finish()
	for p.openDoors() {
		p.configureNewConnections()
		p.processNewResponses()
		p.endThrottles()
		p.poll()
		p.processCompletedReceives()
		p.processCompletedSends()
		p.processDisconnected()
		p.metrics.tell(p.sel.Stats(), len(p.parked))
	}
}

// openDoors takes what other goroutines have put down; false ends the loop.
func (p *Processor) openDoors() bool {
	p.sel.ClearWake() // first: what is put down from here on wakes again
	draining := p.orders.drain
	p.responses, p.orders = p.doors.take(p.responses)
	if p.orders.drain && !draining {
		p.closeIdle()
	}
	if p.orders.drain && !p.isDrained && p.sel.Open() == 0 {
		p.isDrained = true
		close(p.drained)
	}
	return !p.orders.stop
}

// configureNewConnections registers at most as many sockets as wait at once, so that a flood of connects does not stop
// the traffic of the others (E2, KIP-402).
func (p *Processor) configureNewConnections() {
	for range newConnectionQueue {
		select {
		case s := <-p.newConnections:
			p.configure(s)
		default:
			return
		}
	}
}

func (p *Processor) configure(s socket) {
	if p.orders.drain {
		s.close()
		return
	}
	local, err := localAddress(s.fd)
	if err == nil {
		c := p.connection(s, local)
		var ch *network.Channel
		if ch, err = p.sel.Register(s.fd, nil, c); err == nil {
			c.Token = ch.Token()
			p.counts.connections.Inc()
			return
		}
	}
	s.close()
	p.counts.closed[network.ReasonRegisterFailed].Inc()
	p.log.Error("connection not registered", "client", s.remote.String(), "err", err)
}

func (p *Processor) connection(s socket, local netip.AddrPort) *connection {
	l := &p.listener
	c := &connection{Connection: Connection{
		ID: connectionID(local, s.remote, p.id, p.index), Processor: p.id, Listener: l.Name, Kind: l.Kind,
		Handler: l.Handler, Broker: s.broker, SecurityProtocol: l.SecurityProtocol, Privileged: l.Privileged,
		Principal: "User:ANONYMOUS", ClientAddress: s.remote.Addr().String(),
	}}
	p.index = max(p.index+1, 0) // wraps to 0 after 2147483647 (E3)
	return c
}

// processNewResponses takes up the answers (E5).
func (p *Processor) processNewResponses() {
	if len(p.responses) == 0 {
		return
	}
	now := Now()
	for i := range p.responses {
		p.processNewResponse(&p.responses[i], now)
	}
	clear(p.responses)
}

func (p *Processor) processNewResponse(r *Response, now int64) {
	ch := p.sel.Channel(r.Token)
	if ch == nil { // E6, G7
		r.complete(ConnectionLost)
		return
	}
	if !ch.State().ResponsePending() { // a second answer to one request (F6)
		r.complete(ConnectionLost)
		p.close(ch, network.ReasonIllegalState, network.ErrIllegalState)
		return
	}
	switch r.Kind {
	case Send:
		p.startThrottle(ch, r.Throttle, now)
		p.sendResponse(ch, r, now)
	case NoOp:
		p.startThrottle(ch, r.Throttle, now)
		r.complete(NotDue)
		p.responseSent(ch)
	default:
		r.complete(Closed)
		reason := r.Reason
		setDefault(&reason, network.ReasonHandlerClosed)
		p.close(ch, reason, nil)
	}
}

// sendResponse queues the answer; the next poll writes it. Where the next request is here already it is served at once
// and both answers leave in one write: the channel takes this answer for sent (network.Selector.Pipelined).
func (p *Processor) sendResponse(ch *network.Channel, r *Response, now int64) {
	settled := r.Throttle <= 0 && !p.orders.drain && p.sel.Pipelined(ch, len(r.Frame))
	var cookie any
	if r.Completer != nil {
		cookie = r.Completer
	}
	p.sel.Send(ch, network.Send{Frame: r.Frame, Cookie: cookie, Queued: now, Settled: settled})
	if settled {
		p.responseSent(ch)
	}
}

// responseSent moves the channel on after its answer, be it one or none (E11).
func (p *Processor) responseSent(ch *network.Channel) {
	p.handle(ch, network.ResponseSent)
	p.tryUnmute(ch)
}

// tryUnmute reads from the channel again if its state allows; not while draining.
func (p *Processor) tryUnmute(ch *network.Channel) {
	switch {
	case p.orders.drain:
		p.closeIfIdle(ch)
	case !ch.Closed():
		p.sel.MaybeUnmute(ch)
	}
}

func (p *Processor) closeIfIdle(ch *network.Channel) {
	if idle(ch) {
		p.close(ch, network.ReasonShutdown, nil)
	}
}

// idle tells that nothing is under way for a connection. A throttled one may well be idle.
func idle(ch *network.Channel) bool {
	return !ch.State().ResponsePending() && ch.Unsent() == 0 && !ch.Attachment.(*connection).parked
}

func (p *Processor) closeIdle() {
	for ch := range p.sel.Channels() {
		p.closeIfIdle(ch)
	}
}

// startThrottle and endThrottles are Kafka's StartThrottling and EndThrottling responses, made here from one number so
// that nothing can reorder them (V7).
func (p *Processor) startThrottle(ch *network.Channel, throttled time.Duration, now int64) {
	if throttled <= 0 {
		return
	}
	p.handle(ch, network.ThrottleStarted)
	p.throttles.push(throttle{now + int64(throttled), ch.Token()})
}

func (p *Processor) endThrottles() {
	if len(p.throttles) == 0 {
		return
	}
	now := Now()
	for t, over := p.throttles.pop(now); over; t, over = p.throttles.pop(now) {
		if ch := p.sel.Channel(t.token); ch != nil {
			p.handle(ch, network.ThrottleEnded)
			p.tryUnmute(ch)
		}
	}
}

// poll waits until the next due time at most.
func (p *Processor) poll() {
	if err := p.sel.Poll(p.timeout()); err != nil {
		p.log.Error("poll failed", "err", err) // the kernel has no such errors for a valid descriptor (E8)
	}
	p.now = Now()
}

func (p *Processor) timeout() time.Duration {
	switch {
	case p.orders.resume && len(p.parked) > 0:
		return 0
	case len(p.throttles) > 0:
		return max(time.Duration(p.throttles[0].due-Now()), 0)
	}
	return epoll.Forever
}

// processCompletedReceives hands the requests on, those first that wait for it longest (E9).
func (p *Processor) processCompletedReceives() {
	p.offerParked()
	for _, r := range p.sel.Receives() {
		if !r.Channel.Closed() {
			p.receive(r.Channel, r.Frame)
		}
	}
	if p.submitted {
		p.submitted = false
		p.rc.Flush(p.id)
	}
}

func (p *Processor) receive(ch *network.Channel, frame []byte) {
	if !p.parse(ch, frame, p.now) {
		return
	}
	ch.Mute()
	if p.isWaiting() || !p.submit(ch) {
		p.park(ch)
	}
}

// parse fills the request; a header that cannot be read costs the connection (L2).
func (p *Processor) parse(ch *network.Channel, frame []byte, received int64) bool {
	q := &p.request
	q.Conn, q.Frame, q.Received = &ch.Attachment.(*connection).Connection, frame, received
	if p.listener.Kind == KindKafka {
		if err := protocol.ParseHeader(frame, &q.Header); err != nil {
			p.close(ch, network.ReasonInvalidRequest, err)
			return false
		}
	}
	return true
}

// submit offers the request to the request channel; false when that is full. The channel is muted before, and what the
// handlers do meanwhile is no matter: only this loop takes up the answer (E10).
func (p *Processor) submit(ch *network.Channel) bool {
	ok, reason := p.rc.Submit(&p.request)
	if ok {
		p.submitted = true
		p.handle(ch, network.RequestReceived)
	} else if reason != network.ReasonNone {
		p.close(ch, reason, nil)
	}
	return ok || reason != network.ReasonNone
}

// processCompletedSends tells the completers first, since they may add to the request's metrics, and then moves the
// channels on (E11).
func (p *Processor) processCompletedSends() {
	sends := p.sel.CompletedSends()
	if len(sends) == 0 {
		return
	}
	now := Now()
	for i := range sends {
		s := &sends[i]
		completeSend(&s.Send, Sent, now-s.Queued)
		switch {
		case s.Channel.Closed():
		case !s.Settled:
			p.responseSent(s.Channel)
		case p.orders.drain: // its channel has moved on, and may be muted for another request
			p.closeIfIdle(s.Channel)
		}
	}
}

func completeSend(s *network.Send, outcome Outcome, nanos int64) {
	if s.Cookie != nil {
		s.Cookie.(Completer).Completed(outcome, nanos)
	}
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

// socket is an accepted connection on its way to its processor.
type socket struct {
	fd     int
	remote netip.AddrPort
	broker int32
}

func (s socket) close() { _ = unix.Close(s.fd) }
