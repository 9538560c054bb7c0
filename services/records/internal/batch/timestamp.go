package batch

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

var decompressor = kgo.DefaultDecompressor()

// Found is a record as ListOffsets answers it.
type Found struct{ Offset, Timestamp int64 }

// AtOrAfter finds the first record, at an offset from start on, whose timestamp is at least millis (KIP-33).
func (b Batch) AtOrAfter(millis, start int64) (found Found, ok bool, err error) {
	err = b.each(func(f Found) bool {
		if f.Offset >= start && f.Timestamp >= millis {
			found, ok = f, true
		}
		return !ok
	})
	return found, ok, err
}

// Latest finds the first record with the largest timestamp of those at offsets from start on (KIP-734).
func (b Batch) Latest(start int64) (found Found, ok bool, err error) {
	err = b.each(func(f Found) bool {
		if f.Offset >= start && (!ok || f.Timestamp > found.Timestamp) {
			found, ok = f, true
		}
		return !ok || found.Timestamp < b.MaxTimestamp() // there is no larger one
	})
	return found, ok, err
}

// each calls f for the records, decompressed if need be, until it returns false.
func (b Batch) each(f func(Found) bool) error {
	rest, err := decompressor.Decompress(b.Records(), kgo.CompressionCodecType(b.Codec()))
	if err != nil {
		return fmt.Errorf("decompress batch at %d: %w", b.BaseOffset(), err)
	}
	for range b.Count() {
		r, after, ok := nextRecord(rest)
		if !ok {
			return fmt.Errorf("batch at %d: malformed record", b.BaseOffset())
		}
		t := b.BaseTimestamp() + r.timeDelta
		if b.LogAppendTime() { // all records have the same
			t = b.MaxTimestamp()
		}
		if !f(Found{b.BaseOffset() + int64(r.offsetDelta), t}) {
			return nil
		}
		rest = after
	}
	return nil
}
