package batch

import (
	"encoding/binary"
	"math"
)

// Marker is the end of a transaction as its control record tells it (Kafka's EndTransactionMarker, KIP-98).
type Marker struct {
	Commit bool  // or abort
	Epoch  int32 // of the coordinator: Kanal's number of the transaction
}

// Types of control records.
const (
	controlAbort  = 0
	controlCommit = 1
)

// markerRecord is the length of a marker's record behind its own length field.
const markerRecord = 16

// NewMarker makes the control batch that ends a transaction of a producer: one record, which takes one offset. millis is its timestamp.
func NewMarker(producerID int64, producerEpoch int16, m Marker, millis int64) Batch {
	b := make([]byte, HeaderSize, HeaderSize+1+markerRecord)
	b[offMagic] = 2
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], math.MaxUint32)
	binary.BigEndian.PutUint16(b[offAttributes:], transactionalBit|controlBit)
	binary.BigEndian.PutUint64(b[offBaseTime:], uint64(millis))
	binary.BigEndian.PutUint64(b[offMaxTime:], uint64(millis))
	binary.BigEndian.PutUint64(b[offProducerID:], uint64(producerID))
	binary.BigEndian.PutUint16(b[offEpoch:], uint16(producerEpoch))
	binary.BigEndian.PutUint32(b[offBaseSequence:], math.MaxUint32)
	binary.BigEndian.PutUint32(b[offCount:], 1)
	b = m.appendRecord(b)
	binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-offLeaderEpoch))
	binary.BigEndian.PutUint32(b[offCRC:], Batch(b).checksum())
	return b
}

func (m Marker) appendRecord(b []byte) []byte {
	kind := uint16(controlAbort)
	if m.Commit {
		kind = controlCommit
	}
	b = binary.AppendVarint(b, markerRecord)
	b = append(b, 0, 0, 0) // attributes, distance of the timestamp, of the offset
	b = binary.AppendVarint(b, 4)
	b = binary.BigEndian.AppendUint16(b, 0) // version of the key
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.AppendVarint(b, 6)
	b = binary.BigEndian.AppendUint16(b, 0) // version of the value
	b = binary.BigEndian.AppendUint32(b, uint32(m.Epoch))
	return append(b, 0) // no headers
}

// Marker reads a control batch; false for a batch that is none, and for a control record of another type.
func (b Batch) Marker() (m Marker, ok bool) {
	if !b.Control() || b.Codec() != 0 {
		return m, false
	}
	length, n := binary.Varint(b.Records())
	if n <= 0 || length < 1 || length > int64(len(b.Records())-n) {
		return m, false
	}
	rest := b.Records()[n+1 : n+int(length)] // without the attributes
	for range 2 {                            // distances
		if _, n = binary.Varint(rest); n <= 0 {
			return m, false
		}
		rest = rest[n:]
	}
	key, rest, _ := field(rest)
	value, _, ok := field(rest)
	if !ok || len(key) < 4 || len(value) < 6 || key[0] > 127 || value[0] > 127 { // negative versions
		return m, false
	}
	kind := binary.BigEndian.Uint16(key[2:])
	return Marker{Commit: kind == controlCommit, Epoch: int32(binary.BigEndian.Uint32(value[2:]))}, kind <= controlCommit
}

// field cuts bytes with their length off the front of a record.
func field(b []byte) (f, rest []byte, ok bool) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 0 || length > int64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(length)], b[n+int(length):], true
}
