package topiclog

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"kanal/services/records/internal/producer"
)

// Versions of the checkpoint.
const (
	checkpointVersion  = 3
	beforeTransactions = 2 // understood as well
)

// state is what a log's messages have made so far.
type state struct {
	tail       uint64 // sequence of the last message
	bytes      uint64 // of all messages ever
	newest     int64  // when the stream stored the last one, in milliseconds
	partitions map[int32]*partition
}

// append writes the whole state, partitions in their order.
func (s *state) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, checkpointVersion)
	dst = binary.BigEndian.AppendUint64(dst, s.tail)
	dst = binary.BigEndian.AppendUint64(dst, s.bytes)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.newest))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.partitions)))
	for _, number := range slices.Sorted(maps.Keys(s.partitions)) {
		dst = binary.BigEndian.AppendUint32(dst, uint32(number))
		dst = s.partitions[number].append(dst)
	}
	return dst
}

func (p *partition) append(dst []byte) []byte {
	for _, v := range []int64{p.start, p.next, int64(p.bytes)} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.epochs)))
	for _, e := range p.epochs {
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.epoch))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.start))
	}
	dst = append(dst, p.index.doubled)
	dst = binary.BigEndian.AppendUint64(dst, p.index.logBytes)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.index.millis))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.index.entries)))
	for _, e := range p.index.entries {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.base))
		dst = binary.BigEndian.AppendUint64(dst, e.sequence)
		dst = binary.BigEndian.AppendUint64(dst, e.before)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.latest))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.stored))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.producers)))
	for _, id := range slices.Sorted(maps.Keys(p.producers)) {
		s := p.producers[id]
		dst = binary.BigEndian.AppendUint64(dst, uint64(id))
		dst = s.Append(dst)
	}
	return p.transactions.append(dst)
}

// parseCheckpoint reads what append wrote.
func parseCheckpoint(b []byte) (state, error) {
	r := reader{b: b}
	version := r.u32()
	if version != checkpointVersion && version != beforeTransactions {
		return state{}, fmt.Errorf("%w: checkpoint version %d", ErrMalformed, version)
	}
	s := state{tail: r.u64(), bytes: r.u64(), newest: int64(r.u64()), partitions: map[int32]*partition{}}
	for range r.count(4) {
		number := int32(r.u32())
		s.partitions[number] = r.partition(version)
	}
	if r.bad || len(r.b) > 0 {
		return state{}, fmt.Errorf("%w: checkpoint", ErrMalformed)
	}
	return s, nil
}

// reader takes numbers off the front of b; what is missing sets bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// count is a number of things of at least size bytes each, so that a wrong one cannot make anybody allocate.
func (r *reader) count(size int) int {
	n := uint64(r.u32())
	if n*uint64(size) > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) partition(version uint32) *partition {
	p := newPartition()
	p.start, p.next, p.bytes = int64(r.u64()), int64(r.u64()), r.u64()
	for range r.count(12) {
		p.epochs = append(p.epochs, epochStart{int32(r.u32()), int64(r.u64())})
	}
	p.index.doubled, p.index.logBytes, p.index.millis = r.take(1)[0], r.u64(), int64(r.u64())
	for range r.count(40) {
		p.index.entries = append(p.index.entries, indexEntry{int64(r.u64()), r.u64(), r.u64(), int64(r.u64()), int64(r.u64())})
	}
	for range r.count(8) {
		id := int64(r.u64())
		s, rest, err := producer.Parse(r.b)
		if err != nil {
			r.bad = true
			return p
		}
		p.producers[id], r.b = s, rest
	}
	if version > beforeTransactions {
		p.transactions = r.transactions()
	}
	return p
}
