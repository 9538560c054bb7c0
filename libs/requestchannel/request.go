package requestchannel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"kanal/libs/future"
	"kanal/libs/protocol"
)

// EnvelopeVersion is the version of the binary envelope that this build
// writes. A reader takes every version from 1 to its own; fields are only ever
// added behind the known ones, within the header length.
const EnvelopeVersion = 1 + future.Version

// Kinds of messages on a request subject: the third byte of each.
const (
	kindRequest = 'Q' // a request or a part of one
	kindCancel  = 'C' // the connection of a request is gone
	kindProbe   = 'P' // nothing: NATS reports it when nobody listens
)

// Flags of a request.
const (
	flagPrivileged  = 1 << 0
	flagRedelivered = 1 << 1
	flagMustServe   = 1 << 2
	flagHalfClosed  = 1 << 3 // of a cancel: the peer still reads

	flagNothingParked = 1 << 4
)

// Layout of a request's fixed header (docs/request-channel.md).
const (
	offVersion      = 1
	offKind         = 2
	offFlags        = 3
	offHeaderLen    = 4
	offAPIKey       = 6
	offAPIVersion   = 8
	offProcessor    = 10
	offID           = 12
	offToken        = 20
	offAnnouncement = 28
	offBroker       = 36
	offAge          = 40
	offDeadline     = 44
	offGranted      = 48
	offPart         = 52
	offParts        = 54
	offTotal        = 56
	offRedirects    = 60
	offSecurity     = 61
	offAttempt      = 62
	requestFixed    = 63

	magic = 0x4b // 'K'
)

// ErrInvalidEnvelope reports bytes that are no envelope, or of a version or
// kind that this build does not know.
var ErrInvalidEnvelope = errors.New("requestchannel: invalid envelope")

// SecurityProtocol numbers Kafka's security protocols as Kafka does.
type SecurityProtocol uint8

// Security protocols.
const (
	Plaintext     SecurityProtocol = 0
	SSL           SecurityProtocol = 1
	SASLPlaintext SecurityProtocol = 2
	SASLSSL       SecurityProtocol = 3
)

// Request is the envelope of one request (RequestContext, L10) and its frame.
type Request struct {
	ID           uint64 // unique per front end
	Token        uint64 // of the connection
	Announcement uint64 // newest announcement number of this handler that the front end has seen
	APIKey       protocol.APIKey
	APIVersion   int16
	Processor    uint16
	Broker       int32 // that the connection is for; 0 for bootstrap
	// Age is how long ago the request was received, when it was published.
	Age time.Duration
	// Deadline is how long the front end still waits, from when it was published.
	Deadline time.Duration
	// Granted bounds the answer, in bytes; Fetch keeps to it. Park makes it smaller.
	Granted     uint32
	Part, Parts uint16
	Total       uint32 // length of the whole frame, in bytes
	Redirects   uint8
	// Attempt counts the dispatches of this request; answers carry it back, so
	// that one which only concerns an earlier dispatch is told apart.
	Attempt          uint8
	SecurityProtocol SecurityProtocol
	// Privileged is set from the listener, never from what the client sent (A6).
	Privileged bool
	// Redelivered: another instance may have executed this request already.
	Redelivered bool
	// NothingParked: once it is parked, nothing is granted to its answer any more.
	NothingParked bool
	// MustServe: redirected often enough; whoever gets it serves it.
	MustServe bool
	Origin
	// Frame is the request as the client sent it, without size bytes.
	Frame []byte
}

// AppendRequest appends the envelope of r, with origin as AppendOrigin made
// it, and not the frame. r.Origin and r.Frame are not looked at.
func AppendRequest(b []byte, r *Request, origin []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, requestFixed)...)
	b = append(b, origin...)
	b = append(b, future.Bytes...)
	h := b[at:]
	h[0], h[offVersion], h[offKind] = magic, EnvelopeVersion, kindRequest
	binary.BigEndian.PutUint16(h[offHeaderLen:], uint16(len(h)))
	binary.BigEndian.PutUint16(h[offAPIKey:], uint16(r.APIKey))
	binary.BigEndian.PutUint16(h[offAPIVersion:], uint16(r.APIVersion))
	binary.BigEndian.PutUint16(h[offProcessor:], r.Processor)
	binary.BigEndian.PutUint64(h[offID:], r.ID)
	binary.BigEndian.PutUint64(h[offToken:], r.Token)
	binary.BigEndian.PutUint32(h[offBroker:], uint32(r.Broker))
	h[offSecurity] = byte(r.SecurityProtocol)
	putDispatch(h, r)
	putPart(h, r.Part, r.Parts, r.Total)
	return b
}

// putDispatch writes what changes with every dispatch of the same request.
func putDispatch(h []byte, r *Request) {
	h[offFlags] = r.flags()
	h[offRedirects] = r.Redirects
	h[offAttempt] = r.Attempt
	binary.BigEndian.PutUint64(h[offAnnouncement:], r.Announcement)
	binary.BigEndian.PutUint32(h[offAge:], clampU32(r.Age.Microseconds()))
	binary.BigEndian.PutUint32(h[offDeadline:], clampU32(r.Deadline.Milliseconds()))
	binary.BigEndian.PutUint32(h[offGranted:], r.Granted)
}

func putPart(h []byte, part, parts uint16, total uint32) {
	binary.BigEndian.PutUint16(h[offPart:], part)
	binary.BigEndian.PutUint16(h[offParts:], parts)
	binary.BigEndian.PutUint32(h[offTotal:], total)
}

func clampU32(v int64) uint32 { return uint32(min(max(v, 0), 1<<32-1)) }

func (r *Request) flags() (f byte) {
	if r.Privileged {
		f |= flagPrivileged
	}
	if r.Redelivered {
		f |= flagRedelivered
	}
	if r.MustServe {
		f |= flagMustServe
	}
	if r.NothingParked {
		f |= flagNothingParked
	}
	return f
}

// ParseRequest reads an envelope; r.Frame aliases b. It never trusts a length.
func ParseRequest(b []byte, r *Request) error {
	header, err := envelopeHeader(b, requestFixed)
	if err != nil {
		return err
	}
	var o Origin
	if err := o.parse(b[requestFixed:header]); err != nil {
		return err
	}
	return parseRequest(b, header, o, r)
}

func parseRequest(b []byte, header int, origin Origin, r *Request) error {
	h := b[:header]
	*r = Request{
		ID:               binary.BigEndian.Uint64(h[offID:]),
		Token:            binary.BigEndian.Uint64(h[offToken:]),
		Announcement:     binary.BigEndian.Uint64(h[offAnnouncement:]),
		APIKey:           protocol.APIKey(binary.BigEndian.Uint16(h[offAPIKey:])),
		APIVersion:       int16(binary.BigEndian.Uint16(h[offAPIVersion:])),
		Processor:        binary.BigEndian.Uint16(h[offProcessor:]),
		Broker:           int32(binary.BigEndian.Uint32(h[offBroker:])),
		Age:              time.Duration(binary.BigEndian.Uint32(h[offAge:])) * time.Microsecond,
		Deadline:         time.Duration(binary.BigEndian.Uint32(h[offDeadline:])) * time.Millisecond,
		Granted:          binary.BigEndian.Uint32(h[offGranted:]),
		Part:             binary.BigEndian.Uint16(h[offPart:]),
		Parts:            binary.BigEndian.Uint16(h[offParts:]),
		Total:            binary.BigEndian.Uint32(h[offTotal:]),
		Redirects:        h[offRedirects],
		Attempt:          h[offAttempt],
		SecurityProtocol: SecurityProtocol(h[offSecurity]),
		Privileged:       h[offFlags]&flagPrivileged != 0,
		Redelivered:      h[offFlags]&flagRedelivered != 0,
		MustServe:        h[offFlags]&flagMustServe != 0,
		NothingParked:    h[offFlags]&flagNothingParked != 0,
		Origin:           origin,
		Frame:            b[header:],
	}
	if r.Parts == 0 || r.Part >= r.Parts {
		return fmt.Errorf("%w: part %d of %d", ErrInvalidEnvelope, r.Part, r.Parts)
	}
	return nil
}

// envelopeHeader checks magic, version and header length and returns the latter.
func envelopeHeader(b []byte, fixed int) (int, error) {
	if len(b) < fixed || b[0] != magic {
		return 0, fmt.Errorf("%w: %d bytes", ErrInvalidEnvelope, len(b))
	}
	if v := b[offVersion]; v < 1 {
		return 0, fmt.Errorf("%w: version %d, newest known %d", ErrInvalidEnvelope, v, EnvelopeVersion)
	}
	n := int(binary.BigEndian.Uint16(b[offHeaderLen:]))
	if n < fixed || n > len(b) {
		return 0, fmt.Errorf("%w: header of %d bytes in %d", ErrInvalidEnvelope, n, len(b))
	}
	return n, nil
}
