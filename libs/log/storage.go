package log

import (
	"context"
	"errors"
	"time"
)

// Storage is one stream as a log needs it: [Stream] over JetStream, logtest.Stream in memory.
type Storage interface {
	// Append stores a record on the condition that last is the stream's last sequence, and returns nil only when the stream has
	// acknowledged it at last+1. ErrRefused: the condition did not hold. Any other error: the outcome is unknown.
	Append(ctx context.Context, checkpoint bool, record []byte, last uint64) error
	// Read hands over records from sequence first on, in order, until about maxBytes are read or the end is reached (more=false).
	// What it shows exists; that it shows nothing proves nothing (rule 7). Records are the callee's to keep.
	Read(ctx context.Context, first uint64, maxBytes int, f func(Record) error) (more bool, err error)
	// ReadLeader is Read of one record at the place that a refusal named, from the stream's leader; ErrNotFound if nothing is there.
	ReadLeader(ctx context.Context, sequence uint64) (Record, error)
	// LastCheckpoint returns the newest checkpoint part, ErrNotFound if there is none.
	LastCheckpoint(ctx context.Context) (Record, error)
	// Purge drops everything below a sequence.
	Purge(ctx context.Context, below uint64) error
	// Follow calls f with the sequence of each record that the stream takes, as far as the feed arrives, until stop.
	Follow(f func(sequence uint64)) (stop func(), err error)
	// Interruptions counts the times when the feed may have missed records without anybody noticing.
	Interruptions() uint64
	// MaxRecord is the largest record that can be appended, in bytes.
	MaxRecord() int
}

// Record is a stored record.
type Record struct {
	Sequence uint64
	Time     time.Time // when the stream stored it
	Data     []byte
}

// ErrRefused says that the stream's last sequence is not the expected one. Nothing else follows from it (rule 3).
var ErrRefused = errors.New("log: not the expected last sequence")

// ErrNotFound is a record that the stream does not show.
var ErrNotFound = errors.New("log: record not found")

// ErrNoStream says that the log's stream does not exist, or that none of its replicas answers for it at the moment.
var ErrNoStream = errors.New("log: stream not found")
