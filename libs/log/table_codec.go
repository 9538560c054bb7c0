package log

import (
	"encoding/binary"
	"fmt"
)

// Change sets a key of a Table, or deletes it with a nil value.
type Change struct {
	Key   string
	Value []byte // nil deletes; the callee keeps it until done is called
}

const (
	opSet    = 1
	opDelete = 2
)

// changeOverhead is what a change has besides its key and value.
const changeOverhead = 9

func (c *Change) size() int { return changeOverhead + len(c.Key) + len(c.Value) }

// appendChange writes one change: operation, lengths of key and value, key, value.
func appendChange(dst []byte, key string, value []byte) []byte {
	op := byte(opSet)
	if value == nil {
		op = opDelete
	}
	dst = append(dst, op)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(key)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, key...)
	return append(dst, value...)
}

// parseChanges calls f for each change in a body. Values alias b. A body that is cut anywhere but between changes is an error.
func parseChanges(b []byte, f func(key string, value []byte)) error {
	for len(b) > 0 {
		if len(b) < changeOverhead {
			return fmt.Errorf("%w: change cut at %d bytes", ErrMalformed, len(b))
		}
		op, k, v := b[0], uint64(binary.BigEndian.Uint32(b[1:])), uint64(binary.BigEndian.Uint32(b[5:]))
		b = b[changeOverhead:]
		if (op != opSet && op != opDelete) || (op == opDelete && v != 0) || k+v > uint64(len(b)) {
			return fmt.Errorf("%w: change %d of %d+%d bytes in %d", ErrMalformed, op, k, v, len(b))
		}
		value := b[k : k+v : k+v]
		if op == opDelete {
			value = nil
		}
		f(string(b[:k]), value)
		b = b[k+v:]
	}
	return nil
}
