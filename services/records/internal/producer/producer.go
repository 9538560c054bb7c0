// Package producer is what a partition knows of its idempotent producers: enough to answer a repeated batch with its first offset
// and to refuse a gap. It decides without I/O or clock. Its Kafka counterparts are ProducerStateManager, ProducerStateEntry and
// ProducerAppendInfo.
package producer

import (
	"encoding/binary"
	"errors"
	"math"
)

// Batches is how many batches of a producer are remembered, and so how many a client may have in flight.
const Batches = 5

// Outcomes of Check that are refusals.
var (
	ErrOutOfOrder   = errors.New("producer: sequence number out of order") // OUT_OF_ORDER_SEQUENCE_NUMBER
	ErrInvalidEpoch = errors.New("producer: older epoch")                  // INVALID_PRODUCER_EPOCH
)

// Batch is one batch of a producer: its first and last sequence number, and the offset of its first record.
type Batch struct {
	First, Last int32
	Offset      int64
}

// State is one producer in one partition. The zero State is of a producer that was never seen.
type State struct {
	Epoch   int16
	Count   uint8          // of the batches below
	Batches [Batches]Batch // oldest first
	Updated int64          // when the last one was stored, in milliseconds
}

// Check judges a batch against what is known of its producer (known is false for one never seen): a duplicate's offset, or whether
// it may be appended. A producer that is not known may begin anywhere, as in Kafka, where its records may all be gone by retention.
func Check(s State, known bool, epoch int16, b Batch) (duplicate int64, isDuplicate bool, err error) {
	switch {
	case !known:
		return 0, false, nil
	case epoch < s.Epoch:
		return 0, false, ErrInvalidEpoch
	case epoch > s.Epoch && b.First != 0:
		return 0, false, ErrOutOfOrder
	case epoch > s.Epoch:
		return 0, false, nil
	}
	for _, old := range s.Batches[:s.Count] {
		if old.First == b.First && old.Last == b.Last {
			return old.Offset, true, nil
		}
	}
	if b.First != s.next() {
		return 0, false, ErrOutOfOrder
	}
	return 0, false, nil
}

// next is the sequence number that follows: 0 where a marker has raised the epoch and nothing came since.
func (s *State) next() int32 {
	if s.Count == 0 {
		return 0
	}
	return Sequence(s.Batches[s.Count-1].Last, 1)
}

// Raise takes in a transaction's marker: a newer epoch fences batches of older ones and begins with sequence number 0
// (ProducerStateEntry.maybeUpdateProducerEpoch).
func (s *State) Raise(epoch int16, millis int64) {
	if epoch != s.Epoch {
		s.Epoch, s.Count = epoch, 0
	}
	s.Updated = millis
}

// Add takes in a stored batch.
func (s *State) Add(epoch int16, b Batch, millis int64) {
	if epoch != s.Epoch {
		s.Epoch, s.Count = epoch, 0
	}
	if s.Count == Batches {
		copy(s.Batches[:], s.Batches[1:])
		s.Count--
	}
	s.Batches[s.Count] = b
	s.Count++
	s.Updated = millis
}

// Sequence is the sequence number n after first: after the largest comes 0.
func Sequence(first, n int32) int32 {
	if first > math.MaxInt32-n {
		return n - (math.MaxInt32 - first) - 1
	}
	return first + n
}

// ErrMalformed is a producer state that is cut or out of range.
var ErrMalformed = errors.New("producer: malformed state")

const fixedSize, batchSize = 11, 16

// Append writes a state.
func (s *State) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Epoch))
	dst = append(dst, s.Count)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Updated))
	for _, b := range s.Batches[:s.Count] {
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.First))
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.Last))
		dst = binary.BigEndian.AppendUint64(dst, uint64(b.Offset))
	}
	return dst
}

// Parse reads a state and returns what follows it.
func Parse(b []byte) (s State, rest []byte, err error) {
	if len(b) < fixedSize || b[2] > Batches || len(b) < fixedSize+batchSize*int(b[2]) {
		return s, nil, ErrMalformed
	}
	s.Epoch, s.Count, s.Updated = int16(binary.BigEndian.Uint16(b)), b[2], int64(binary.BigEndian.Uint64(b[3:]))
	b = b[fixedSize:]
	for i := range s.Batches[:s.Count] {
		s.Batches[i] = Batch{int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:])), int64(binary.BigEndian.Uint64(b[8:]))}
		b = b[batchSize:]
	}
	return s, b, nil
}
