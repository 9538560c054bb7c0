package requestchannel

import (
	"sync"
	"time"

	"kanal/libs/future"
)

// Where a pending request is.
type pendingState uint8

const (
	queued      pendingState = iota // waits for a window
	held                            // waits for an ordered request before it, in no queue
	outstanding                     // an instance has it, within its window
	parked                          // an instance has it as a long poll
	answered                        // the processor carries the outcome out
)

// Pending is one request on its way. From Submit to its outcome it belongs to
// the dispatcher, then to whoever calls Done.
type Pending struct {
	Request        // without Origin and Frame: those are in message
	lane     *lane // that it came on
	route    *Route
	message  []byte // envelope and frame, nil when let go
	header   int    // length of the envelope
	origin   []byte // the connection's
	size     int    // length of the frame
	body     int    // where the request's body begins in it
	state    pendingState
	half     bool   // the peer sends nothing more
	target   string // instance of a redirect
	instance *instance
	assembly *assembly
	sending  *largeRequest // the last that the sender was given
	metrics  *apiMetrics

	// dispatched is 0 before it was, or while it waits again.
	received, dispatched, arrived, deadline int64

	answered      bool // by a handler, which told:
	local, remote time.Duration
	throttle      time.Duration
	handler       string // its instance
	responseSize  int
	reason        CloseReason
	wasParked     bool

	slot       int // in the wheel; -1 when not
	prev, next *Pending

	older, newer *Pending // of the same api

	sequence uint64   // on its connection
	ordered  bool     // among its like of the connection, one after the other
	later    *Pending // of the same connection

	client         uint32 // whose it is
	granted        int64  // bytes of the response budget that it has
	onTheWay       int64  // of them, while its answer has not arrived
	parkedGrant    int64  // of them, while it is parked
	grants         *grants
	queue          *fifo // while queued
	before, behind *Pending
}

var pendings = sync.Pool{New: func() any { return new(Pending) }}

// newPending makes a pending request from a call, its message complete but for
// what every dispatch writes anew.
func newPending(call *Call, id uint64, timeout time.Duration) *Pending {
	p := pendings.Get().(*Pending)
	message := p.message[:0]
	*p = Pending{
		Request: Request{
			ID: id, Token: call.Token, APIKey: call.APIKey, APIVersion: call.APIVersion, Processor: uint16(call.Processor),
			Broker: call.Broker, SecurityProtocol: call.SecurityProtocol, Privileged: call.Privileged,
			Parts: partsOf(len(call.Frame)), Total: uint32(len(call.Frame)),
		},
		route: call.Route, origin: call.Origin, size: len(call.Frame), client: call.Client, sequence: call.Sequence, body: call.Body, slot: -1,
		received: call.Received, deadline: call.Received + int64(timeout),
	}
	if n := requestFixed + len(call.Origin) + len(future.Bytes) + len(call.Frame); cap(message) < n {
		message = make([]byte, 0, n)
	}
	message = AppendRequest(message, &p.Request, call.Origin)
	p.header = len(message)
	p.message = append(message, call.Frame...)
	return p
}

func (p *Pending) conn() connKey { return connKey{p.Processor, p.Token} }

// maxKept is the largest message memory that a pooled Pending keeps, in bytes.
const maxKept = 16 << 10

// keptFrame is what stays of a large frame after its outcome, in bytes: the
// request's header, for the request log.
const keptFrame = 1 << 10

// letGo gives the memory of a large message back: it is not counted any more,
// and a client may take its time to read the answer.
func (p *Pending) letGo() {
	if cap(p.message) > maxKept {
		p.message = append([]byte(nil), p.message[:min(p.header+keptFrame, len(p.message))]...)
	}
}

// Done ends the request: send is how long writing took if it was Sent. It is
// called exactly once, on any goroutine.
func (p *Pending) Done(result Result, now, send int64) {
	if result == Closed {
		result = p.closed()
	}
	t := p.times(now, send)
	p.metrics.done(p, result, &t)
	if r := p.metrics.m.recorder; r != nil && r.Wants(p.APIKey, t.Total) {
		r.Record(p.ended(result, t))
	}
	p.letGo()
	if p.granted != 0 {
		p.grants.change(-p.granted)
	}
	*p = Pending{message: p.message[:0]}
	pendings.Put(p)
}
