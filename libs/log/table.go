package log

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TableApplication marks the records of coordination logs.
const TableApplication = 1

// ErrConflict says that another writer's message came first: the table has been brought up to it, and none of the changes is in
// the log. Whoever decided on them decides again.
var ErrConflict = errors.New("log: another writer came first")

// ErrUnknown says that the changes may be in the log or not, and that it can no longer be found out. The table is up to date.
var ErrUnknown = errors.New("log: outcome unknown")

// ErrTooLarge says that the changes of one submission do not fit into one message.
var ErrTooLarge = errors.New("log: changes too large")

// TableConfig names a coordination log.
type TableConfig struct {
	Prefix, Cluster, Stream string
	Log                     *slog.Logger
	Metrics                 *Metrics         // may be nil
	Now                     func() time.Time // nil: time.Now
	Storage                 Storage          // nil: the stream in js
	Tune                    func(*Config)    // nil, or changes to the Log's own settings (sizes, times)
}

// Table is a coordination log (docs/log.md): keys and values, all in memory, changed only by what the log has committed.
//
// To decide from a table and be right, hold a lock of your own while you read it, decide and Submit, and take the same lock in
// OnForeign's function. Submissions decided before a foreign message then all end with ErrConflict: from the moment it is applied
// until that function has returned, every submission does.
type Table struct {
	log     *Log
	foreign func() // set once by OnForeign, guarded by mu

	mu      sync.RWMutex
	values  map[string][]byte
	bytes   int          // of what a checkpoint would hold
	waiting []submission // not built yet
	stale   bool         // foreign messages are applied, but OnForeign's function has not returned
	ended   error        // no more submissions

	building []submission // in the message being committed; owned by the log's goroutine
}

type submission struct {
	changes []Change
	done    func(error)
	size    int
}

// OpenTable reads a coordination log and follows it. The stream must exist (CreateStream).
func OpenTable(ctx context.Context, js jetstream.JetStream, cfg TableConfig) (*Table, error) {
	if cfg.Storage == nil {
		cfg.Storage = NewStream(js, cfg.Prefix, cfg.Cluster, cfg.Stream)
	}
	t := &Table{values: map[string][]byte{}}
	c := Config{Name: cfg.Stream, Storage: cfg.Storage, Machine: (*tableMachine)(t), Log: cfg.Log, Metrics: cfg.Metrics, Now: cfg.Now,
		CheckpointBytes: 8 << 20}
	if cfg.Tune != nil {
		cfg.Tune(&c)
	}
	l, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = l
	return t, nil
}

// Submit hands changes to the log, in order, together with whatever else waits. done is called exactly once, on the log's goroutine
// (or, when the table is closed or stale, on the caller's), and must not block: nil after the commit, with the changes in the table;
// ErrConflict, ErrUnknown, ErrTooLarge or ErrClosed otherwise. No changes: done(nil) means that the tail was confirmed after the
// call (rule 5), so that what the table says was the truth at some moment in between.
func (t *Table) Submit(changes []Change, done func(error)) {
	s := submission{changes: changes, done: done}
	for i := range changes {
		s.size += changes[i].size()
	}
	if err := t.enqueue(s); err != nil {
		done(err)
	}
}

func (t *Table) enqueue(s submission) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended != nil:
		return t.ended
	case t.stale:
		return ErrConflict
	case s.size > t.log.storage.MaxRecord()-HeaderSize:
		return ErrTooLarge
	}
	if t.waiting = append(t.waiting, s); len(t.waiting) == 1 {
		t.log.Wake()
	}
	return nil
}

// Get returns the committed value of a key, nil if there is none. It must not be modified.
func (t *Table) Get(key string) []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.values[key]
}

// Len is the number of keys.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.values)
}

// Range calls f for each key and value, in no order, until it returns false. The table stands still meanwhile: f must not block and
// must not call Submit.
func (t *Table) Range(f func(key string, value []byte) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for k, v := range t.values {
		if !f(k, v) {
			return
		}
	}
}

// OnForeign sets the function that is called, on the log's goroutine, after messages of another writer were applied: whoever
// derives state reloads it from the table. Set it before the table is read for the first time.
func (t *Table) OnForeign(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.foreign = f
}

// Done is closed when the table has ended, by Close or because its log cannot be understood.
func (t *Table) Done() <-chan struct{} { return t.log.Done() }

// Close ends the table. What waits ends with ErrClosed: it may be in the log or not.
func (t *Table) Close() { t.log.Close() }
