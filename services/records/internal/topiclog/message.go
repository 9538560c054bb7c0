package topiclog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kanal/services/records/internal/batch"
)

// Application marks the records of topic logs.
const Application = 2

// Layout of a message's body (docs/log.md): version, count of entries, the entries, the batches in their order.
const (
	bodyVersion  = 1
	bodyHeader   = 8
	entrySize    = 48
	flagNewStart = 1
)

// Entry is one batch in a message's table, or (with no bytes) a new log start.
type Entry struct {
	Partition  int32
	Base, Next int64  // offset of the first record, and behind the last
	Length     int    // of the batch in bytes, 0 for none
	MaxTime    int64  // largest timestamp, in milliseconds
	Start      int64  // the partition's new log start offset, -1 if unchanged
	Number     uint32 // of the transaction that the batch belongs to, or ends

	at int // where the batch begins in the body
}

// Message is one message of a topic log, read or just committed. It is immutable.
type Message struct {
	Sequence uint64
	Body     []byte
	Entries  []Entry
}

// ErrMalformed is a body that is not a topic log's.
var ErrMalformed = errors.New("topiclog: malformed message")

// Batch is the batch of an entry.
func (m *Message) Batch(e *Entry) batch.Batch {
	return batch.Batch(m.Body[e.at : e.at+e.Length : e.at+e.Length])
}

// bodySize is the length of a body with the given entries and bytes of batches.
func bodySize(entries, bytes int) int { return bodyHeader + entries*entrySize + bytes }

// appendTable writes everything of a body but the batches.
func appendTable(dst []byte, entries []Entry) []byte {
	dst = binary.BigEndian.AppendUint32(dst, bodyVersion<<24)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(entries)))
	for i := range entries {
		e := &entries[i]
		flags := uint32(0)
		if e.Start >= 0 {
			flags = flagNewStart
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.Partition))
		dst = binary.BigEndian.AppendUint32(dst, flags)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Base))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Next))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.Length))
		dst = binary.BigEndian.AppendUint32(dst, e.Number)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.MaxTime))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Start))
	}
	return dst
}

// ParseMessage reads a body, which the message keeps. It trusts no length and no batch header.
func ParseMessage(sequence uint64, body []byte) (*Message, error) {
	if len(body) < bodyHeader || body[0] != bodyVersion {
		return nil, fmt.Errorf("%w: no table", ErrMalformed)
	}
	count := binary.BigEndian.Uint32(body[4:])
	if uint64(count)*entrySize > uint64(len(body)-bodyHeader) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrMalformed, count, len(body))
	}
	m := &Message{Sequence: sequence, Body: body, Entries: make([]Entry, count)}
	at := bodySize(int(count), 0)
	for i := range m.Entries {
		e := &m.Entries[i]
		e.parse(body[bodyHeader+i*entrySize:])
		e.at = at
		if err := e.check(body[at:]); err != nil {
			return nil, err
		}
		at += e.Length
	}
	if at != len(body) {
		return nil, fmt.Errorf("%w: %d bytes behind the last batch", ErrMalformed, len(body)-at)
	}
	return m, nil
}

func (e *Entry) parse(b []byte) {
	e.Partition = int32(binary.BigEndian.Uint32(b))
	e.Base, e.Next = int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))
	e.Length, e.Number = int(binary.BigEndian.Uint32(b[24:])), binary.BigEndian.Uint32(b[28:])
	e.MaxTime, e.Start = int64(binary.BigEndian.Uint64(b[32:])), int64(binary.BigEndian.Uint64(b[40:]))
	if binary.BigEndian.Uint32(b[4:])&flagNewStart == 0 {
		e.Start = -1
	}
}

// check holds the table's word against the batch.
func (e *Entry) check(rest []byte) error {
	if e.Partition < 0 || e.Base < 0 || e.Length > len(rest) {
		return fmt.Errorf("%w: entry of %d bytes at offset %d of partition %d", ErrMalformed, e.Length, e.Base, e.Partition)
	}
	if e.Length == 0 {
		return nil
	}
	b, after := batch.First(rest[:e.Length])
	if b == nil || len(after) > 0 || b.BaseOffset() != e.Base || b.NextOffset() != e.Next || e.Next <= e.Base {
		return fmt.Errorf("%w: batch at offset %d of partition %d is not what the table says", ErrMalformed, e.Base, e.Partition)
	}
	return nil
}
