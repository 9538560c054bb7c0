package log

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kanal/libs/future"
)

// HeaderSize is the number of bytes that precede the body of every record in the stream.
const HeaderSize = 40

// FormatVersion is the version of the record layout that this package writes.
const FormatVersion = 1

// Kind says what a record in the stream is.
type Kind uint8

// The kinds of records.
const (
	KindMessage    Kind = 1 // changes the state
	KindEmpty      Kind = 2 // a link of the chain that changes nothing: it confirms the tail (rule 5)
	KindCheckpoint Kind = 3 // one part of a checkpoint; not in the chain
)

// ID names a record: the incarnation of its writer (drawn anew whenever a log is opened) and that writer's running number.
// The zero ID stands before the first message of a log.
type ID struct{ Writer, Number uint64 }

// String is for people.
func (id ID) String() string { return fmt.Sprintf("%016x/%d", id.Writer, id.Number) }

// Header opens every record. Application tells the formats of bodies apart, so that one kind of log is never read as another.
type Header struct {
	Kind        Kind
	Application uint16
	ID          ID
	Predecessor ID // the message that this one follows (checkpoint: the last message it covers)
}

// ErrMalformed is a record that is not in this package's format at all; a reader takes it as void.
var ErrMalformed = errors.New("log: malformed record")

// ErrVersion is a record of a later format version. It cannot be taken as void, since a newer writer may have meant it.
var ErrVersion = errors.New("log: unknown format version")

// Put writes the header over the first HeaderSize bytes of record.
func (h Header) Put(record []byte) {
	_ = record[HeaderSize-1]
	record[0], record[1] = FormatVersion, byte(h.Kind)
	binary.BigEndian.PutUint16(record[2:], h.Application)
	binary.BigEndian.PutUint32(record[4:], future.Reserved)
	binary.BigEndian.PutUint64(record[8:], h.ID.Writer)
	binary.BigEndian.PutUint64(record[16:], h.ID.Number)
	binary.BigEndian.PutUint64(record[24:], h.Predecessor.Writer)
	binary.BigEndian.PutUint64(record[32:], h.Predecessor.Number)
}

// ParseHeader reads the header of a record and returns what follows it, which aliases record.
func ParseHeader(record []byte) (Header, []byte, error) {
	if len(record) < HeaderSize {
		return Header{}, nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	if record[0] > FormatVersion {
		return Header{}, nil, fmt.Errorf("%w: %d", ErrVersion, record[0])
	}
	h := Header{
		Kind:        Kind(record[1]),
		Application: binary.BigEndian.Uint16(record[2:]),
		ID:          ID{binary.BigEndian.Uint64(record[8:]), binary.BigEndian.Uint64(record[16:])},
		Predecessor: ID{binary.BigEndian.Uint64(record[24:]), binary.BigEndian.Uint64(record[32:])},
	}
	if record[0] == 0 || h.Kind < KindMessage || h.Kind > KindCheckpoint || h.ID.Writer == 0 {
		return Header{}, nil, fmt.Errorf("%w: version %d, kind %d", ErrMalformed, record[0], record[1])
	}
	return h, record[HeaderSize:], nil
}
