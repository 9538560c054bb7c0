package transaction

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// version is the first byte of a stored transaction (TransactionLogValue).
const version = 1

// fixed is the length of what comes before the partitions.
const fixed = 1 + 8 + 8 + 8 + 2 + 2 + 1 + 4 + 8 + 8 + 8

// ErrInvalid is wrapped by what is wrong with a stored transaction.
var ErrInvalid = errors.New("transaction: invalid")

// Encode gives what is stored.
func (t *Transaction) Encode() []byte {
	b := append(make([]byte, 0, fixed+64*len(t.Partitions)), version)
	for _, id := range [...]int64{t.ProducerID, t.PreviousID, t.NextID} {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(t.Epoch))
	b = binary.BigEndian.AppendUint16(b, uint16(t.Previous))
	b = append(b, byte(t.State))
	b = binary.BigEndian.AppendUint32(b, t.Number)
	for _, v := range [...]int64{t.Timeout.Milliseconds(), millis(t.Started), millis(t.Updated)} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = binary.AppendUvarint(b, uint64(len(t.Partitions)))
	for _, p := range t.Sorted() {
		b = append(appendString(b, p.Topic), p.TopicID[:]...)
		b = binary.AppendUvarint(b, uint64(uint32(p.Partition)))
	}
	return b
}

// Sorted lists the partitions by topic and number.
func (t *Transaction) Sorted() []Partition {
	all := make([]Partition, 0, len(t.Partitions))
	for p := range t.Partitions {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Partition) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	return all
}

// millis is 0 for no time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Decode reads what Encode wrote.
func Decode(b []byte) (*Transaction, error) {
	if len(b) < fixed || b[0] != version || State(b[29]) > CompleteAbort {
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(b))
	}
	long := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	t := &Transaction{
		ProducerID: long(1), PreviousID: long(9), NextID: long(17),
		Epoch: int16(binary.BigEndian.Uint16(b[25:])), Previous: int16(binary.BigEndian.Uint16(b[27:])),
		State: State(b[29]), Number: binary.BigEndian.Uint32(b[30:]),
		Timeout: time.Duration(long(34)) * time.Millisecond, Started: timeOf(long(42)), Updated: timeOf(long(50)),
	}
	r := reader{b: b[fixed:]}
	for range r.count() {
		p := Partition{Topic: r.string()}
		copy(p.TopicID[:], r.take(len(p.TopicID)))
		p.Partition = int32(r.uvarint(math.MaxInt32))
		if t.Partitions == nil {
			t.Partitions = map[Partition]struct{}{}
		}
		t.Partitions[p] = struct{}{}
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: cut short or too long", ErrInvalid)
	}
	return t, nil
}

// reader goes through bytes that may be cut anywhere.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is how many elements follow; each has at least one byte.
func (r *reader) count() int { return int(r.uvarint(uint64(len(r.b)))) }

func (r *reader) string() string { return string(r.take(int(r.uvarint(uint64(len(r.b)))))) }
