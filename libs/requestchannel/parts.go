package requestchannel

import (
	"fmt"
	"time"
)

// PartSize is the largest payload of one NATS message beside its envelope:
// with it a message stays below the server's default max_payload of 1 MiB.
const PartSize = 512 << 10

// LargeFrame is the size, in bytes, above which a frame takes the second
// connection, so that it does not stand before small ones.
const LargeFrame = 128 << 10

// MaxFrame bounds a reassembled frame, in bytes.
const MaxFrame = 128 << 20

// partsOf is how many parts a frame of n bytes travels in: at least one.
func partsOf(n int) uint16 { return uint16(max(1, (n+PartSize-1)/PartSize)) }

// partOf is part i of a frame.
func partOf(frame []byte, i uint16) []byte {
	from := int(i) * PartSize
	return frame[from:min(from+PartSize, len(frame))]
}

// assembly collects the parts of one frame. It grows with what arrives and
// never with what is announced.
type assembly struct {
	frame []byte
	next  uint16
	grew  time.Time
}

// add takes the next part in; done when it was the last. Parts come in order
// on one subject: any other order means that some were lost.
func (a *assembly) add(part, parts uint16, total uint32, b []byte) (done bool, err error) {
	if part != a.next || total > MaxFrame || len(a.frame)+len(b) > int(total) {
		return false, fmt.Errorf("%w: part %d of %d after %d, %d of %d bytes", ErrInvalidEnvelope, part, parts, a.next, len(a.frame)+len(b), total)
	}
	a.frame = append(a.frame, b...)
	a.next++
	if a.next < parts {
		return false, nil
	}
	if len(a.frame) != int(total) {
		return false, fmt.Errorf("%w: %d bytes in %d parts, announced %d", ErrInvalidEnvelope, len(a.frame), parts, total)
	}
	return true, nil
}
