package batch

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Rules are what a topic asks of the batches produced to it.
type Rules struct {
	MaxBytes      int   // max.message.bytes, and what a log can take
	Version       int16 // of the Produce request
	LogAppendTime bool  // message.timestamp.type
	BeforeMax     int64 // message.timestamp.before.max.ms
	AfterMax      int64 // message.timestamp.after.max.ms
}

// Refusal is a Kafka error with what was wrong, for the client's log (KIP-467).
type Refusal struct {
	Kafka   *kerr.Error
	Message string
	Records []RecordError // the records for which the batch is refused, if that is known
}

// RecordError is what is wrong with one record.
type RecordError struct {
	Index   int32 // in the batch
	Message string
}

// Error makes a Refusal an error; it is answered to the client and never logged.
func (r *Refusal) Error() string { return r.Kafka.Message + ": " + r.Message }

func refuse(k *kerr.Error, format string, args ...any) *Refusal {
	return &Refusal{Kafka: k, Message: fmt.Sprintf(format, args...)}
}

// Validate checks the records of one partition of a Produce request as ProduceRequest.validateRecords, UnifiedLog and LogValidator
// do together: exactly one batch (KIP-98), whole and unharmed, within the rules. now is in milliseconds.
func Validate(records []byte, r Rules, now int64) (Batch, *Refusal) {
	if len(records) == 0 {
		return nil, refuse(kerr.InvalidRecord, "Produce requests with version %d must have at least one record batch per partition", r.Version)
	}
	b, refusal := only(records, r.Version)
	if refusal != nil {
		return nil, refusal
	}
	for _, check := range []func() *Refusal{
		func() *Refusal { return b.checkSize(r.MaxBytes) },
		b.checkSum,
		func() *Refusal { return b.checkHeader(r.Version) },
		b.checkProducer,
		b.checkRecords,
		func() *Refusal { return b.checkTimes(r, now) },
	} {
		if refusal := check(); refusal != nil {
			return nil, refusal
		}
	}
	return b, nil
}

// only finds the one batch that records must be.
func only(records []byte, version int16) (Batch, *Refusal) {
	if len(records) > offMagic && records[offMagic] != 2 {
		return nil, refuse(kerr.InvalidRecord, "Produce requests with version %d are only allowed to contain record batches with magic version 2", version)
	}
	b, rest := First(records)
	if b == nil {
		return nil, refuse(kerr.CorruptMessage, "a batch of %d bytes is not whole", len(records))
	}
	if len(rest) > 0 {
		return nil, refuse(kerr.InvalidRecord, "Produce requests with version %d are only allowed to contain exactly one record batch per partition", version)
	}
	return b, nil
}

func (b Batch) checkSize(limit int) *Refusal {
	if len(b) > limit {
		return refuse(kerr.MessageTooLarge, "The record batch size is %d bytes which exceeds the maximum configured value of %d.", len(b), limit)
	}
	return nil
}

func (b Batch) checkSum() *Refusal {
	if b.checksum() != b.storedChecksum() {
		return refuse(kerr.CorruptMessage, "Record is corrupt (stored crc = %d, computed crc = %d)", b.storedChecksum(), b.checksum())
	}
	return nil
}

func (b Batch) checkHeader(version int16) *Refusal {
	switch {
	case b.BaseOffset() != 0:
		return refuse(kerr.InvalidRecord, "The baseOffset of the record batch should be 0, but it is %d", b.BaseOffset())
	case b.Control():
		return refuse(kerr.InvalidRecord, "Clients are not allowed to write control records")
	case b.Count() <= 0 || b.Count() != b.LastOffsetDelta()+1:
		return refuse(kerr.InvalidRecord, "Inconsistent batch offset range: last offset delta %d with count of records %d", b.LastOffsetDelta(), b.Count())
	case b.Codec() > 4:
		return refuse(kerr.UnsupportedCompressionType, "Unknown compression type %d", b.Codec())
	case b.Codec() == 4 && version < 7:
		return refuse(kerr.UnsupportedCompressionType, "Produce requests with version %d are not allowed to use ZStandard compression", version)
	}
	return nil
}

func (b Batch) checkProducer() *Refusal {
	switch {
	case b.ProducerID() >= 0 && b.BaseSequence() < 0:
		return refuse(kerr.InvalidRecord, "Found invalid sequence number %d in record batch with producerId %d.", b.BaseSequence(), b.ProducerID())
	case b.ProducerID() >= 0 && b.ProducerEpoch() < 0:
		return refuse(kerr.InvalidRecord, "Found invalid producer epoch %d in record batch with producerId %d.", b.ProducerEpoch(), b.ProducerID())
	case b.Transactional() && b.ProducerID() < 0:
		return refuse(kerr.InvalidRecord, "Found a transactional record batch without a producerId")
	}
	return nil
}

// checkRecords walks over uncompressed records: lengths that fit, offsets that count up. Compressed ones are the consumer's to judge;
// decompressing everything to look would cost more than all the rest.
func (b Batch) checkRecords() *Refusal {
	if b.Codec() != 0 {
		return nil
	}
	rest := b.Records()
	for i := range b.Count() {
		r, after, ok := nextRecord(rest)
		if !ok || r.offsetDelta != i {
			return refuse(kerr.InvalidRecord, "Record %d of %d in the batch is malformed", i, b.Count())
		}
		rest = after
	}
	if len(rest) > 0 {
		return refuse(kerr.InvalidRecord, "Incorrect declared batch size, %d bytes are left behind the last record", len(rest))
	}
	return nil
}

// record is what matters here of a record.
type record struct {
	timeDelta   int64
	offsetDelta int32
}

// nextRecord reads the first fields of a record and skips the rest of it.
func nextRecord(b []byte) (r record, rest []byte, ok bool) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 3 || length > int64(len(b)-n) {
		return r, nil, false
	}
	rest = b[n+int(length):]
	b = b[n+1 : n+int(length)] // without the attributes, which are unused
	if r.timeDelta, n = binary.Varint(b); n <= 0 {
		return r, nil, false
	}
	delta, m := binary.Varint(b[n:])
	r.offsetDelta = int32(delta)
	return r, rest, m > 0 && int64(r.offsetDelta) == delta
}
