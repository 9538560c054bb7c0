package coordinator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// What a coordination log holds, by the first byte of the key (Kafka's
// GroupMetadataKey, ConsumerGroupMetadataKey and OffsetCommitKey). Strings in keys carry their length:
// groups and topics may contain any byte.
const (
	kindGroup    = 'g' // + group: a group.Snapshot
	kindConsumer = 'c' // + group: a consumer.GroupRecord
	kindMember   = 'm' // + group, member: a consumer.MemberRecord
	kindOffset   = 'o' // + group, topic, partition: an Offset
	// kindPending + producer id + the key of an offset: one that counts when the
	// producer's transaction is committed.
	kindPending     = 'p'
	kindTransaction = 't' // + transactional id: a transaction.Transaction
	// markerKey alone: the producer of the newest marker that found nothing.
	markerKey = "e"
)

// ErrInvalid is wrapped by what is wrong with a stored key or value.
var ErrInvalid = errors.New("coordinator: invalid entry")

func groupKey(group string) string { return string(kindGroup) + group }

func consumerKey(group string) string { return string(kindConsumer) + group }

func memberKey(group, member string) string {
	b := appendString([]byte{kindMember}, group)
	return string(append(b, member...))
}

func parseMemberKey(key string) (group, member string, err error) {
	group, rest, ok := cutString([]byte(key[1:]))
	if !ok || key[0] != kindMember || len(rest) == 0 {
		return "", "", fmt.Errorf("%w: key %q", ErrInvalid, key)
	}
	return group, string(rest), nil
}
func transactionKey(id string) string { return string(kindTransaction) + id }

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

func offsetKey(group string, p Partition) string {
	b := make([]byte, 0, 12+len(group)+len(p.Topic))
	b = append(b, kindOffset)
	b = appendString(b, group)
	b = appendString(b, p.Topic)
	return string(binary.AppendUvarint(b, uint64(uint32(p.Partition))))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func parseOffsetKey(key string) (group string, p Partition, err error) {
	b := []byte(key)
	if len(b) == 0 || b[0] != kindOffset {
		return "", p, fmt.Errorf("%w: key %q", ErrInvalid, key)
	}
	b = b[1:]
	var ok1, ok2 bool
	group, b, ok1 = cutString(b)
	p.Topic, b, ok2 = cutString(b)
	partition, n := binary.Uvarint(b)
	if !ok1 || !ok2 || n <= 0 || n != len(b) || partition > math.MaxInt32 {
		return "", p, fmt.Errorf("%w: key %q", ErrInvalid, key)
	}
	p.Partition = int32(partition)
	return group, p, nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return "", nil, false
	}
	return string(b[n : n+int(length)]), b[n+int(length):], true
}

// Offset is a committed offset.
type Offset struct {
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	// TopicID is the topic that was meant: one of the same name that came after
	// it has nothing committed.
	TopicID   [16]byte
	Committed time.Time // to the millisecond
	// Unstable tells that a transaction is about to change it, or to make it
	// where Offset is -1. It is not stored.
	Unstable bool
}

const offsetVersion, offsetFixed = 1, 1 + 8 + 4 + 8 + 16

func (o *Offset) encode() []byte {
	b := make([]byte, 0, offsetFixed+len(o.Metadata))
	b = append(b, offsetVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(o.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(o.LeaderEpoch))
	b = binary.BigEndian.AppendUint64(b, uint64(o.Committed.UnixMilli()))
	b = append(b, o.TopicID[:]...)
	return append(b, o.Metadata...)
}

func decodeOffset(b []byte) (o Offset, err error) {
	if len(b) < offsetFixed || b[0] != offsetVersion {
		return o, fmt.Errorf("%w: offset of %d bytes", ErrInvalid, len(b))
	}
	o.Offset = int64(binary.BigEndian.Uint64(b[1:]))
	o.LeaderEpoch = int32(binary.BigEndian.Uint32(b[9:]))
	o.Committed = time.UnixMilli(int64(binary.BigEndian.Uint64(b[13:])))
	copy(o.TopicID[:], b[21:])
	o.Metadata = string(b[offsetFixed:])
	return o, nil
}
