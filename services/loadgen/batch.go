package loadgen

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Where a record batch of magic 2 has what changes from request to request.
const (
	crcAt            = 17
	checkedFrom      = 21 // the checksum covers everything from here
	firstTimestampAt = 27
	maxTimestampAt   = 35
	batchHeader      = 61
	afterLength      = 12 // base offset and length itself are not counted in the length
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newBatch is an uncompressed batch of records with values of a size in bytes,
// without keys, from no producer in particular. It has to be stamped.
func newBatch(records, size int) []byte {
	values := noise(size + spread)
	all := make([]byte, 0, records*(size+20))
	for i := range records {
		r := kmsg.NewRecord()
		at := i * 7919 % spread
		r.OffsetDelta, r.Value = int32(i), values[at:at+size]
		r.Length = int32(len(r.AppendTo(nil)) - 1) // of what follows the length, which is one byte as long as it is 0
		all = r.AppendTo(all)
	}
	b := kmsg.RecordBatch{
		Length: int32(batchHeader - afterLength + len(all)), PartitionLeaderEpoch: -1, Magic: 2,
		LastOffsetDelta: int32(records - 1), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(records), Records: all,
	}
	return b.AppendTo(nil)
}

// stamp gives a batch's records a timestamp, in milliseconds since 1970, and the
// checksum that goes with it.
func stamp(batch []byte, millis int64) {
	binary.BigEndian.PutUint64(batch[firstTimestampAt:], uint64(millis))
	binary.BigEndian.PutUint64(batch[maxTimestampAt:], uint64(millis))
	binary.BigEndian.PutUint32(batch[crcAt:], crc32.Checksum(batch[checkedFrom:], castagnoli))
}
