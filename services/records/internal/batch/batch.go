// Package batch looks at Kafka's record batches (magic 2) without decoding them: what a broker must check before it stores one, the
// few fields that it writes itself, and the search for a record by its timestamp. Its Kafka counterparts are DefaultRecordBatch and
// LogValidator.
package batch

import (
	"encoding/binary"
	"hash/crc32"
)

// HeaderSize is the length of a batch without its records, in bytes.
const HeaderSize = 61

// Offsets of the fields within a batch.
const (
	offBaseOffset   = 0
	offLength       = 8
	offLeaderEpoch  = 12
	offMagic        = 16
	offCRC          = 17
	offAttributes   = 21
	offLastDelta    = 23
	offBaseTime     = 27
	offMaxTime      = 35
	offProducerID   = 43
	offEpoch        = 51
	offBaseSequence = 53
	offCount        = 57
)

// Bits of the attributes.
const (
	codecMask        = 7
	logAppendTimeBit = 1 << 3
	transactionalBit = 1 << 4
	controlBit       = 1 << 5
)

// NoProducerID is the producer id of batches without idempotence.
const NoProducerID = -1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is the bytes of one whole batch, at least HeaderSize of them.
type Batch []byte

// BaseOffset is the offset of the first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[offBaseOffset:])) }

// LastOffsetDelta is the distance of the last record's offset from the first's.
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[offLastDelta:])) }

// NextOffset is the offset behind the last record.
func (b Batch) NextOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) + 1 }

// LeaderEpoch is the epoch under which the batch was stored.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[offLeaderEpoch:])) }

// Magic is the version of the format.
func (b Batch) Magic() int8 { return int8(b[offMagic]) }

// Attributes are the batch's flags.
func (b Batch) Attributes() uint16 { return binary.BigEndian.Uint16(b[offAttributes:]) }

// Codec is the compression, 0 to 4 (KIP-110).
func (b Batch) Codec() int { return int(b.Attributes() & codecMask) }

// LogAppendTime tells whether the timestamps are the broker's.
func (b Batch) LogAppendTime() bool { return b.Attributes()&logAppendTimeBit != 0 }

// Transactional tells whether the batch is part of a transaction (KIP-98).
func (b Batch) Transactional() bool { return b.Attributes()&transactionalBit != 0 }

// Control tells whether the batch is a transaction's marker.
func (b Batch) Control() bool { return b.Attributes()&controlBit != 0 }

// BaseTimestamp is what the records' timestamps count from, in milliseconds.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[offBaseTime:])) }

// MaxTimestamp is the largest timestamp of the records, in milliseconds.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[offMaxTime:])) }

// ProducerID is NoProducerID without idempotence.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[offProducerID:])) }

// ProducerEpoch is the epoch of the producer id.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[offEpoch:])) }

// BaseSequence is the producer's sequence number of the first record.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[offBaseSequence:])) }

// Count is the number of records.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[offCount:])) }

// Records is what follows the header, as compressed as it came.
func (b Batch) Records() []byte { return b[HeaderSize:] }

// SetPlace writes the two fields that a broker assigns; the checksum does not cover them.
func (b Batch) SetPlace(baseOffset int64, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(leaderEpoch))
}

// SetLogAppendTime makes millis the timestamp of all records, and the checksum right again.
func (b Batch) SetLogAppendTime(millis int64) {
	binary.BigEndian.PutUint16(b[offAttributes:], b.Attributes()|logAppendTimeBit)
	binary.BigEndian.PutUint64(b[offMaxTime:], uint64(millis))
	binary.BigEndian.PutUint32(b[offCRC:], b.checksum())
}

func (b Batch) checksum() uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }

func (b Batch) storedChecksum() uint32 { return binary.BigEndian.Uint32(b[offCRC:]) }

// size is the whole length that the batch claims, in bytes.
func (b Batch) size() int64 {
	return int64(int32(binary.BigEndian.Uint32(b[offLength:]))) + offLeaderEpoch
}

// First cuts the first batch off b; nil if b does not begin with a whole one.
func First(b []byte) (Batch, []byte) {
	if len(b) < HeaderSize {
		return nil, b
	}
	n := Batch(b).size()
	if n < HeaderSize || n > int64(len(b)) {
		return nil, b
	}
	return Batch(b[:n:n]), b[n:]
}
