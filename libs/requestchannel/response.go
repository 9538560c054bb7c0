package requestchannel

import (
	"encoding/binary"
	"fmt"
	"time"

	"kanal/libs/future"
)

// ResponseKind says what became of a request (M5, and design section 4).
type ResponseKind uint8

// Kinds of responses. The first three end a request; Redirect and NotTaken
// send it elsewhere; Parked only moves its deadline.
const (
	Send            ResponseKind = 1 // write the frame
	NoOp            ResponseKind = 2 // nothing to write, go on (acks=0)
	CloseConnection ResponseKind = 3
	Redirect        ResponseKind = 4 // Target holds what the request is about
	Parked          ResponseKind = 5 // a long poll was accepted and waits
	NotTaken        ResponseKind = 6 // was not and will not be executed here
)

var responseKinds = [...]string{"invalid", "send", "no_op", "close_connection", "redirect", "parked", "not_taken"}

// String is the kind's name, for logs and metric labels.
func (k ResponseKind) String() string {
	if int(k) < len(responseKinds) {
		return responseKinds[k]
	}
	return responseKinds[0]
}

// Layout of a response's fixed header (docs/request-channel.md).
const (
	offResponseKind     = 2
	offResponseID       = 6
	offResponseToken    = 14
	offResponseThrottle = 22
	offResponseQueue    = 26
	offResponseLocal    = 30
	offResponseRemote   = 34
	offResponseDeadline = 38
	offResponsePart     = 42
	offResponseParts    = 44
	offResponseTotal    = 46
	offResponseAttempt  = 50
	responseFixed       = 51
)

// Response is the envelope of one answer and its frame.
type Response struct {
	ID          uint64 // of the request
	Token       uint64 // of the connection
	Kind        ResponseKind
	Throttle    time.Duration // the channel stays muted this long after the answer
	Queue       time.Duration // waited in the handler before it ran
	Local       time.Duration // ran
	Remote      time.Duration // waited for storage or other members
	Deadline    time.Duration // of a parked request, from now
	Part, Parts uint16
	Total       uint32 // length of the whole frame, in bytes
	Attempt     uint8  // of the request that this answers
	Target      string // of a redirect: an instance id
	// Frame is the response with its Kafka header, without size bytes.
	Frame []byte
}

// AppendResponse appends the envelope of r without its frame.
func AppendResponse(b []byte, r *Response) []byte {
	at := len(b)
	b = append(b, make([]byte, responseFixed)...)
	target := r.Target[:min(len(r.Target), maxOriginField)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(target)))
	b = append(b, target...)
	b = append(b, future.Bytes...)
	h := b[at:]
	h[0], h[offVersion], h[offResponseKind] = magic, EnvelopeVersion, byte(r.Kind)
	binary.BigEndian.PutUint16(h[offHeaderLen:], uint16(len(h)))
	binary.BigEndian.PutUint64(h[offResponseID:], r.ID)
	binary.BigEndian.PutUint64(h[offResponseToken:], r.Token)
	binary.BigEndian.PutUint32(h[offResponseThrottle:], clampU32(r.Throttle.Milliseconds()))
	binary.BigEndian.PutUint32(h[offResponseQueue:], clampU32(r.Queue.Microseconds()))
	binary.BigEndian.PutUint32(h[offResponseLocal:], clampU32(r.Local.Microseconds()))
	binary.BigEndian.PutUint32(h[offResponseRemote:], clampU32(r.Remote.Microseconds()))
	binary.BigEndian.PutUint32(h[offResponseDeadline:], clampU32(r.Deadline.Milliseconds()))
	h[offResponseAttempt] = r.Attempt
	putResponsePart(h, r.Part, r.Parts, r.Total)
	return b
}

func putResponsePart(h []byte, part, parts uint16, total uint32) {
	binary.BigEndian.PutUint16(h[offResponsePart:], part)
	binary.BigEndian.PutUint16(h[offResponseParts:], parts)
	binary.BigEndian.PutUint32(h[offResponseTotal:], total)
}

// ParseResponse reads an envelope; r.Frame aliases b.
func ParseResponse(b []byte, r *Response) error {
	header, err := envelopeHeader(b, responseFixed)
	if err != nil {
		return err
	}
	*r = Response{
		ID:       binary.BigEndian.Uint64(b[offResponseID:]),
		Token:    binary.BigEndian.Uint64(b[offResponseToken:]),
		Kind:     ResponseKind(b[offResponseKind]),
		Throttle: time.Duration(binary.BigEndian.Uint32(b[offResponseThrottle:])) * time.Millisecond,
		Queue:    time.Duration(binary.BigEndian.Uint32(b[offResponseQueue:])) * time.Microsecond,
		Local:    time.Duration(binary.BigEndian.Uint32(b[offResponseLocal:])) * time.Microsecond,
		Remote:   time.Duration(binary.BigEndian.Uint32(b[offResponseRemote:])) * time.Microsecond,
		Deadline: time.Duration(binary.BigEndian.Uint32(b[offResponseDeadline:])) * time.Millisecond,
		Part:     binary.BigEndian.Uint16(b[offResponsePart:]),
		Parts:    binary.BigEndian.Uint16(b[offResponseParts:]),
		Total:    binary.BigEndian.Uint32(b[offResponseTotal:]),
		Attempt:  b[offResponseAttempt],
		Frame:    b[header:],
	}
	if r.Kind < Send || r.Kind > NotTaken {
		return fmt.Errorf("%w: response kind %d", ErrInvalidEnvelope, r.Kind)
	}
	if r.Parts == 0 || r.Part >= r.Parts {
		return fmt.Errorf("%w: part %d of %d", ErrInvalidEnvelope, r.Part, r.Parts)
	}
	return r.parseTarget(b[responseFixed:header])
}

func (r *Response) parseTarget(b []byte) error {
	if len(b) < 2 {
		return fmt.Errorf("%w: target cut short", ErrInvalidEnvelope)
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > len(b)-2 {
		return fmt.Errorf("%w: target of %d bytes", ErrInvalidEnvelope, n)
	}
	if n > 0 {
		r.Target = string(b[2 : 2+n])
	}
	return nil
}
