package requestchannel

import (
	"time"

	"kanal/libs/protocol"
)

// Result is what became of a request.
type Result uint8

// Results.
const (
	Sent           Result = iota // the last byte of the answer is with the socket
	NotDue                       // there was no answer to send (acks=0)
	Closed                       // the handler had the connection closed
	TimedOut                     // no answer until the deadline, the connection was closed
	FrameLost                    // its handler died and the frame was no longer held, the connection was closed
	ConnectionLost               // the connection was gone before the last byte
	Shutdown                     // the front end stopped before the last byte

	results // how many there are
)

var resultNames = [results]string{"sent", "no_op", "closed", "timed_out", "frame_lost", "connection_lost", "shutdown"}

// String is the result's name in metrics and logs.
func (r Result) String() string { return resultNames[r] }

// closed says more precisely why a connection was closed.
func (p *Pending) closed() Result {
	switch p.reason {
	case ClosedByDeadline:
		return TimedOut
	case ClosedFrameLetGo:
		return FrameLost
	}
	return Closed
}

// Recorder is told of requests that have ended (request log, M11). It is called on whatever goroutine ends a request,
// mostly a processor's loop, and must not block.
type Recorder interface {
	// Wants is asked once per request and must be cheap.
	Wants(key protocol.APIKey, took time.Duration) bool
	// Record is told what Wants asked for; e is valid during the call.
	Record(e *Ended)
}

// Ended is a request that has ended.
type Ended struct {
	Times
	APIKey        protocol.APIKey // -1: a whole frame
	APIVersion    int16
	Service       string // whose handlers answer it; empty: the front end itself
	Handler       string // instance that answered, if one did
	Security      SecurityProtocol
	Result        Result
	Parked        bool   // was a long poll
	Redelivered   bool   // was given to a second handler because the first was lost
	RequestBytes  int    // of the frame
	ResponseBytes int    // of the frame
	Encoded       []byte // the origin, as AppendOrigin made it
	Frame         []byte // nil where it has been let go
}

// Origin is what the connection's requests have in common.
func (e *Ended) Origin() Origin {
	var o Origin
	_ = o.parse(e.Encoded) // made here
	return o
}

// Header is the request's header; false where the frame has been let go, or is none of Kafka's.
func (e *Ended) Header() (h protocol.Header, ok bool) {
	return h, e.APIKey >= 0 && len(e.Frame) > 0 && protocol.ParseHeader(e.Frame, &h) == nil
}

// ended describes p for a recorder.
func (p *Pending) ended(result Result, t Times) *Ended {
	e := &Ended{
		Times: t, APIKey: p.APIKey, APIVersion: p.APIVersion, Handler: p.handler, Security: p.SecurityProtocol, Result: result,
		Parked: p.wasParked, Redelivered: p.Redelivered, RequestBytes: p.size, ResponseBytes: p.responseSize,
		Encoded: p.origin, Frame: p.message[min(p.header, len(p.message)):],
	}
	if p.route != nil {
		e.Service = p.route.name
	}
	return e
}
