package log

import (
	"errors"
	"time"
)

// Machine is the state that a log's valid messages make, and the source of new ones. Its methods are called by one goroutine, the
// log's, and must not block. State is a pure function of the messages: Apply does the same for an own message as for one read.
type Machine interface {
	// Application is the number in the headers of this machine's records.
	Application() uint16
	// Restore replaces the state by a checkpoint's, or by the empty one for nil.
	Restore(checkpoint []byte) error
	// Apply takes in the next valid message that changes the state. Undecodable: the log stops with that error.
	Apply(m Message) error
	// Build makes the next message of what waits: head bytes left free for the header, then a body of at most limit bytes
	// (limit is what a message should have, most what it can). A body of no bytes asks for a confirmation only. Nil: nothing waits.
	Build(head, limit, most int) []byte
	// Committed follows the Apply of a message that Build made last (for a confirmation, without Apply): whoever waits for it can be
	// answered. Sent is when it was published: everything asked before then rests on a confirmed tail.
	Committed(sent time.Time)
	// Conflict says that the message that Build made last is not in the log, and that messages of another writer, which have been
	// applied, came first: what waits must be validated again. With unknown set, it may have been (a checkpoint hides the place).
	// It is called as well when foreign messages arrive while nothing was built.
	Conflict(unknown bool)
	// Checkpoint appends the whole state.
	Checkpoint(dst []byte) []byte
	// Needs is the lowest sequence that the state still refers to; what lies below, and below the newest checkpoint, is purged.
	Needs() uint64
	// Fail ends everything that waits; no call follows.
	Fail(err error)
}

// Message is a valid message of a log.
type Message struct {
	Sequence uint64
	ID       ID
	Time     time.Time // when the stream stored it; for an own message when it was sent
	Body     []byte    // the machine's to keep
	Own      bool      // written by this Log
}

// ErrClosed ends what waits on a log that was closed: its outcome is unknown to whoever asked.
var ErrClosed = errors.New("log: closed")
