package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrInvalidHeader reports a request whose header cannot be read: unknown api
// key, negative version, or bytes missing. The connection is closed (L2).
var ErrInvalidHeader = errors.New("protocol: invalid request header")

// Header is a request header of version 1 or 2 (RequestHeader, L1).
type Header struct {
	Key           APIKey
	Version       int16
	CorrelationID int32
	// ClientID aliases the frame it was parsed from; nil where the client sent null.
	ClientID []byte
	// Body is the offset of the request body in the frame.
	Body int
}

// ParseHeader reads the header at the start of frame, a request without its
// four size bytes, into h. It does not allocate unless it fails.
func ParseHeader(frame []byte, h *Header) error {
	if len(frame) < 10 {
		return fmt.Errorf("%w: %d bytes", ErrInvalidHeader, len(frame))
	}
	h.Key = APIKey(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	if !h.Key.Known() {
		return fmt.Errorf("%w: unknown api key %d", ErrInvalidHeader, int16(h.Key))
	}
	if h.Version < 0 {
		return fmt.Errorf("%w: %s version %d", ErrInvalidHeader, h.Key, h.Version)
	}
	if err := h.parseClientID(frame); err != nil {
		return err
	}
	// A version of ApiVersions that we do not know still has a header that we
	// can read up to here; its body is never looked at (L6).
	if h.Key == ApiVersions && h.Version > apis[ApiVersions].max {
		return nil
	}
	if h.Key.Flexible(h.Version) {
		return h.skipTags(frame)
	}
	return nil
}

// IsRequestOf tells whether a frame is a request of an api, as far as its first bytes say.
func IsRequestOf(frame []byte, key APIKey) bool {
	return len(frame) >= 2 && APIKey(binary.BigEndian.Uint16(frame)) == key
}

func (h *Header) parseClientID(frame []byte) error {
	n := int(int16(binary.BigEndian.Uint16(frame[8:])))
	h.ClientID, h.Body = nil, 10
	if n == -1 {
		return nil
	}
	if n < 0 || n > len(frame)-10 {
		return fmt.Errorf("%w: client id of %d bytes", ErrInvalidHeader, n)
	}
	h.ClientID, h.Body = frame[10:10+n:10+n], 10+n
	return nil
}

func (h *Header) skipTags(frame []byte) error {
	r := reader{b: frame[h.Body:]}
	r.tags()
	if r.failed {
		return fmt.Errorf("%w: tagged fields cut short", ErrInvalidHeader)
	}
	h.Body = len(frame) - len(r.b)
	return nil
}

// reader reads the primitive types of flexible versions; once failed, every
// further read gives a zero value.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 5 {
		r.failed = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// compact reads a compact nullable string; null is nil.
func (r *reader) compact() []byte {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	return r.take(n - 1)
}

func (r *reader) tags() {
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}
