package socketserver

import (
	"time"

	"kanal/libs/network"
	"kanal/libs/protocol"
)

// RequestChannel takes requests from processors and answers by Processor.Deliver. All methods but AddProcessor and
// RemoveProcessor are called on a processor's loop, on several loops at the same time, and must not block.
type RequestChannel interface {
	// AddProcessor makes a processor known before it has connections. An error undoes what needed the processor. It is
	// called by whoever makes, resizes or extends the server (RequestChannel.addProcessor).
	AddProcessor(p *Processor) error
	// RemoveProcessor tells that a processor has ended: it has told Disconnected of each of its connections, and calls
	// no more. Its id is given to another only after all others were (RequestChannel.removeProcessor).
	RemoveProcessor(id int)
	// Submit takes over a request, copying r.Frame before it returns. ok is false and reason is network.ReasonNone when
	// there is no room: the request stays parked on its muted channel and is offered again after Resume, before later
	// ones. Another reason closes the connection.
	Submit(r *Request) (ok bool, reason network.CloseReason)
	// Flush ends a loop pass of this processor in which Submit took something.
	Flush(processor int)
	// Disconnected tells that a connection is gone, or with half that only its peer's writing half is (told at most
	// once, and before the other). A connection that moves to another processor is gone for the one that it leaves,
	// while no request of it is under way, and goes on there with another token.
	Disconnected(processor int, token uint64, half bool)
}

// Request is filled by the processor and valid during Submit only.
type Request struct {
	Conn     *Connection     // stable for as long as the connection is with its processor
	Header   protocol.Header // zero on listeners of kind frames
	Frame    []byte          // without its size bytes
	Received int64           // Now when it was complete
	// Client is whose it is, as a hash: its user, or its address where it is nobody's, and its client id. Queues are fair
	// between clients.
	Client uint32
	// Sequence is its place among the requests of its connection where several may be under way, else 0. The response has
	// it too.
	Sequence uint64
}

// Connection is what a request channel may know of a connection. It is immutable from its first request on, but for
// Software*, Broker and Tag, which only the loop touches: within Submit they are the request channel's to set (Software*
// by SetSoftware); and Token and Processor, which change when it moves to another processor, while no request of it is
// under way.
type Connection struct {
	Token            uint64 // never used again by its processor
	ID               string // for people and logs (E3)
	Processor        int
	Listener         string
	Kind             Kind
	Handler          string // KindFrames: who gets the frames
	Broker           int32  // by the port it came to; 0: the bootstrap port
	SecurityProtocol string
	Privileged       bool
	Principal        string // by the client's certificate, else User:ANONYMOUS
	TLSProtocol      string // such as TLSv1.3, empty without TLS
	TLSCipher        string // its IANA name
	ClientAddress    string // numeric, without port
	SoftwareName     string // from ApiVersions (L7)
	SoftwareVersion  string
	Tag              []byte // the request channel's own

	client *member // of the connections by software
	who    uint64  // hash of the user or address; 0: not made yet
}

// unknownSoftware is the name and version of what does not tell (KIP-511).
const unknownSoftware = "unknown"

// SetSoftware is called within Submit when the client has named its software, perhaps again (L7).
func (c *Connection) SetSoftware(name, version string) {
	c.SoftwareName, c.SoftwareVersion = name, version
	c.client = c.client.move(name, version)
}

// ResponseKind says what becomes of the request (M5).
type ResponseKind uint8

const (
	Send            ResponseKind = iota // write the frame
	NoOp                                // no answer is due (M8)
	CloseConnection                     // close instead of an answer
	workDone                            // of an authentication; the processor's own
)

// Response is the one outcome of a request, delivered to its connection's processor.
type Response struct {
	Token     uint64
	Sequence  uint64 // of the request
	Kind      ResponseKind
	Reason    network.CloseReason // of CloseConnection; handler_closed if none
	Throttle  time.Duration       // mute the channel this long, from when the answer is taken up (G2)
	Frame     []byte              // of Send, without its size bytes; the processor's until Completed
	Completer Completer           // may be nil
}

// Completer hears what became of a response, exactly once.
type Completer interface {
	// Completed is called on the processor's loop, or by Deliver itself once the processor has stopped. sendNanos is the
	// time from taking up the response until its last byte was with the socket, 0 unless Sent.
	Completed(outcome Outcome, sendNanos int64)
}

// Outcome is what became of a response.
type Outcome uint8

const (
	Sent           Outcome = iota // the last byte is with the socket
	NotDue                        // NoOp, done
	Closed                        // CloseConnection, done
	ConnectionLost                // the connection was gone before the last byte
	Shutdown                      // the processor stopped before the last byte
)

// String is the outcome's name in metrics.
func (o Outcome) String() string {
	return [...]string{"sent", "no_op", "closed", "connection_lost", "shutdown"}[o]
}

func (r *Response) complete(outcome Outcome) {
	if r.Completer != nil {
		r.Completer.Completed(outcome, 0)
	}
}
