package batch

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

var decompressor = kgo.DefaultDecompressor()

// Found is a record as ListOffsets answers it.
type Found struct{ Offset, Timestamp int64 }

// AtOrAfter finds the first record whose timestamp is at least millis (KIP-33).
func (b Batch) AtOrAfter(millis int64) (Found, bool, error) {
	return b.search(func(t int64) bool { return t >= millis })
}

// Latest finds the first record with the batch's largest timestamp (KIP-734).
func (b Batch) Latest() (Found, bool, error) {
	return b.search(func(t int64) bool { return t >= b.MaxTimestamp() })
}

func (b Batch) search(wanted func(timestamp int64) bool) (Found, bool, error) {
	if b.LogAppendTime() { // all records have the same
		return Found{b.BaseOffset(), b.MaxTimestamp()}, wanted(b.MaxTimestamp()), nil
	}
	rest, err := decompressor.Decompress(b.Records(), kgo.CompressionCodecType(b.Codec()))
	if err != nil {
		return Found{}, false, fmt.Errorf("decompress batch at %d: %w", b.BaseOffset(), err)
	}
	for range b.Count() {
		r, after, ok := nextRecord(rest)
		if !ok {
			return Found{}, false, fmt.Errorf("batch at %d: malformed record", b.BaseOffset())
		}
		if t := b.BaseTimestamp() + r.timeDelta; wanted(t) {
			return Found{b.BaseOffset() + int64(r.offsetDelta), t}, true, nil
		}
		rest = after
	}
	return Found{}, false, nil
}
