package requestchannel

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"kanal/libs/protocol"
)

// ChannelConfig bounds the front end's side of the request channel.
type ChannelConfig struct {
	Subjects
	FrontEnd string // id of this front end, new with every start
	Release  string
	// QueuedMaxRequests bounds the requests of one route that wait for a window
	// (queued.max.requests).
	QueuedMaxRequests int
	// QueuedMaxBytes bounds the frames of those; 0 or less: nothing does.
	QueuedMaxBytes int64
	// Budget counts the frames held until their outcome, parked ones apart
	// (queued.max.request.bytes); nil: nobody does. It refuses nothing here: who
	// reads from clients asks it before reading.
	Budget Budget
	// PrivilegedBudget counts those of privileged listeners instead; nil: nobody
	// does.
	PrivilegedBudget Budget
	// ParkedMaxBytes bounds the frames of parked long polls. Above it a frame is
	// let go, and its connection closes if its handler dies.
	ParkedMaxBytes int64
	// ResponseMaxBytes is divided among the requests under way: what each may
	// be answered with, until the answer is with the socket. 0 or less: nothing
	// bounds the sum.
	ResponseMaxBytes int64
	// RequestTimeout is how long a request waits for its outcome; a parked one
	// has the deadline that its handler names.
	RequestTimeout time.Duration
	// ProbeInterval is the silence after which an instance that owes an answer
	// is probed.
	ProbeInterval time.Duration
	// Known gives the api versions by service that the cluster had before.
	Known map[string]protocol.Ranges
	// OnVersions is told when a service's versions change. It runs on the
	// dispatcher and must not block.
	OnVersions func(service string, versions protocol.Ranges)
	// Now is the clock of Call.Received: monotonic nanoseconds.
	Now      func() int64
	Metrics  *ChannelMetrics // nil: none
	Recorder Recorder        // nil: none
}

// Sink is where outcomes go: the processors, reached by their door.
type Sink interface {
	// Deliver hands over outcomes; the slice is valid during the call. A
	// processor that is gone meanwhile counts as one that stopped.
	Deliver(processor int, outcomes []Outcome)
	// Resume tells a processor that calls refused as full may be offered again.
	Resume(processor int)
}

// Budget counts bytes that are held (memory.Budget). Any goroutine calls it.
type Budget interface {
	Hold(bytes int)
	Release(bytes int)
}

// unbounded counts nothing.
type unbounded struct{}

func (unbounded) Hold(int)    {}
func (unbounded) Release(int) {}

// Call is a request as a processor offers it, valid during Submit.
type Call struct {
	Route            *Route
	Processor        int
	Token            uint64
	Sequence         uint64 // its place on the connection, where several may be under way
	Client           uint32 // whose it is, as a hash: queues are fair between clients
	APIKey           protocol.APIKey
	APIVersion       int16
	Broker           int32
	SecurityProtocol SecurityProtocol
	Privileged       bool   // of a privileged listener: it goes by routes of its own
	Origin           []byte // as AppendOrigin made it; kept until the end, so it must not change
	Frame            []byte // without size bytes; copied
	Body             int    // where the body begins in Frame
	Received         int64  // when its last byte came, by ChannelConfig.Now
}

// Outcome is what a processor has to do about one request.
type Outcome struct {
	Token    uint64
	Sequence uint64       // as in Call
	Kind     ResponseKind // Send, NoOp or CloseConnection
	Throttle time.Duration
	Frame    []byte // of Send; the receiver's
	Reason   CloseReason
	// Pending must be told with Done, exactly once, when the outcome has been
	// carried out or could not be.
	Pending *Pending
}

// CloseReason says why the channel closes a connection.
type CloseReason uint8

// Reasons of Outcome.Reason.
const (
	ClosedByHandler CloseReason = iota // the handler asked for it
	ClosedByDeadline
	ClosedFrameLetGo // its handler died and the frame was no longer held
)

// Channel is the front end's side: Kafka's RequestChannel. Processors submit
// and are answered through their Sink; one goroutine, Run's, owns all that is
// between.
type Channel struct {
	cfg   ChannelConfig
	nc    *nats.Conn // requests and small answers
	large *nats.Conn // frames above LargeFrame, both ways
	view  *View
	sink  Sink
	log   *slog.Logger

	changing sync.Mutex // held while a lane comes or goes
	retired  uint64     // most request ids that a lane had which is gone; guarded by changing
	lanes    atomic.Pointer[lanes]

	table  atomic.Pointer[table]
	inside atomic.Int64 // requests submitted and without outcome

	running atomic.Bool // Run has begun and not ended

	inbox inbox
	dispatcher
}

// NewChannel makes a channel without processors that dispatches once Run is
// called. The connections stay the caller's.
func NewChannel(cfg ChannelConfig, nc, large *nats.Conn, sink Sink, log *slog.Logger) (*Channel, error) {
	view, err := NewView(nc, cfg.Subjects, log)
	if err != nil {
		return nil, fmt.Errorf("subscribe to announcements: %w", err)
	}
	if cfg.Budget == nil {
		cfg.Budget = unbounded{}
	}
	if cfg.PrivilegedBudget == nil {
		cfg.PrivilegedBudget = unbounded{}
	}
	if cfg.QueuedMaxBytes <= 0 {
		cfg.QueuedMaxBytes = oneRequest - 1
	}
	if cfg.Metrics == nil {
		cfg.Metrics = newChannelMetrics()
	}
	cfg.Metrics.recorder = cfg.Recorder
	c := &Channel{cfg: cfg, nc: nc, large: large, view: view, sink: sink, log: log}
	c.lanes.Store(new(lanes))
	c.inbox.wakeup = make(chan struct{}, 1)
	if cfg.ResponseMaxBytes <= 0 {
		c.cfg.ResponseMaxBytes = 1 << 50
	}
	c.dispatcher.init(c)
	view.OnChange(func() { c.inbox.put(func(in *inbox) { in.viewChanged = true }) })
	return c, nil
}

// View is the living cluster as this front end sees it.
func (c *Channel) View() *View { return c.view }

// Submit takes a call over, copying its frame. False: no room now; the
// processor is resumed when there is some. It is called on the processor's loop.
func (c *Channel) Submit(call *Call) bool {
	lane := c.lanes.Load().of(call.Processor)
	call.Route = call.Route.of(call.Privileged)
	if !c.admit(call) {
		lane.waiting.Store(true)
		// Room may have come between the refusal and the flag; nobody would tell.
		if !c.admit(call) {
			return false
		}
	}
	lane.next++
	p := newPending(call, uint64(lane.processor)<<48|lane.next, c.cfg.RequestTimeout)
	p.lane, p.grants = lane, &c.grants
	lane.staged = append(lane.staged, p)
	return true
}

// Own is a request that the front end answers itself, with a frame of that many
// bytes: it is counted like the others and goes nowhere. Call Done as for an
// Outcome.
func (c *Channel) Own(call *Call, responseSize int) *Pending {
	p := newPending(call, 0, 0)
	p.metrics, p.state = c.cfg.Metrics.of("", call.APIKey), answered
	p.dispatched, p.arrived, p.responseSize = p.received, c.cfg.Now(), responseSize
	p.answer(&Response{Local: time.Duration(p.arrived - p.received)})
	return p
}

// admit counts a call in if there is room for it.
func (c *Channel) admit(call *Call) bool {
	if !call.Route.waiting.enter(call.Client, len(call.Frame)) {
		return false
	}
	call.Route.budget.Hold(len(call.Frame))
	c.inside.Add(1)
	return true
}

// Flush hands what a processor submitted in this pass to the dispatcher.
func (c *Channel) Flush(processor int) { c.flush(c.lanes.Load().of(processor)) }

func (c *Channel) flush(l *lane) {
	if len(l.staged) == 0 {
		return
	}
	c.inbox.put(func(in *inbox) { in.submitted = append(in.submitted, l.staged...) })
	clear(l.staged)
	l.staged = l.staged[:0]
}

// Disconnected tells that a connection is gone, or (half) that its peer sends
// nothing more but still reads.
func (c *Channel) Disconnected(processor int, token uint64, half bool) {
	c.Flush(processor) // the connection's last request must not come after its end
	c.inbox.put(func(in *inbox) {
		in.disconnected = append(in.disconnected, disconnect{connKey{uint16(processor), token}, half})
	})
}

// SetConfig announces what this front end is configured with. It is not to be
// changed afterwards.
func (c *Channel) SetConfig(config *FrontEndConfig) {
	c.inbox.put(func(in *inbox) { in.config = config })
}

// SetAddresses announces where clients reach this front end, by listener name.
func (c *Channel) SetAddresses(addresses map[string]Address) {
	c.inbox.put(func(in *inbox) { in.addresses = addresses })
}

// EndLongPolls has every long poll, those to come included, answered at once
// with what there is: a front end that drains does not wait for them.
func (c *Channel) EndLongPolls() { c.inbox.put(func(in *inbox) { in.endPolls = true }) }

// InFlight is how many requests have no outcome yet.
func (c *Channel) InFlight() int { return int(c.inside.Load()) }

// Route is the route to a service by name, for listeners that route whole
// protocols.
func (c *Channel) Route(service string) *Route { return c.table.Load().routes.get(service) }

// RouteOf is the route of an api, nil when no service is known to answer it.
func (c *Channel) RouteOf(key protocol.APIKey) *Route {
	t := c.table.Load()
	if key < 0 || int(key) >= len(t.byKey) {
		return nil
	}
	return t.byKey[key]
}

// Versions is what clients are told: the union over services of what they
// answer, cut to one Kafka release.
func (c *Channel) Versions() protocol.Ranges { return c.table.Load().versions }

// Run dispatches until ctx ends, then gives every request that is left the
// outcome of a shutdown.
func (c *Channel) Run(ctx context.Context) error {
	defer c.view.Close()
	large, err := c.listen(c.large, c.cfg.LargeResponse(c.cfg.FrontEnd))
	if err != nil {
		return err
	}
	c.running.Store(true)
	c.dispatcher.run(ctx)
	c.running.Store(false)
	_ = large.Unsubscribe() // nothing is left to receive
	for _, l := range c.lanes.Load().all {
		_ = l.answers.Unsubscribe()
	}
	return nil
}
