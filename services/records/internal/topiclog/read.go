package topiclog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kanal/libs/log"
	"kanal/services/records/internal/batch"
)

// blockBytes is how much is read from the stream at once, loadTimeout how long that may take.
const (
	blockBytes  = 1 << 20
	loadTimeout = 10 * time.Second
)

// ErrOutOfRange is an offset outside of what the partition has; whether it is so in truth, Confirm tells.
var ErrOutOfRange = errors.New("topiclog: offset out of range")

// errLost is a message that exists by the log's own account and that no replica has.
var errLost = errors.New("topiclog: message is gone from its stream")

// errBeyond ends a read at what is not committed yet, as far as this log knows.
var errBeyond = errors.New("topiclog: beyond the last message")

// Chunk is what a read found.
type Chunk struct {
	Batches []batch.Batch // whole, in order; not to be modified
	Bytes   int
	Offsets Offsets   // of the partition when it was read
	Stable  int64     // its last stable offset then
	Aborted []Aborted // of ReadCommitted: the aborted transactions that have records among the batches
}

// Read finds the batches of a partition from the one that contains an offset, up to max bytes; the first one always, if there is
// one and first is set.
func (l *Log) Read(ctx context.Context, number int32, offset int64, max int, first bool) (Chunk, error) {
	return l.readOrMissed(ctx, collector{number: number, offset: offset, max: max, first: first})
}

// ReadCommitted is Read up to the last stable offset, which may be before the offset asked for.
func (l *Log) ReadCommitted(ctx context.Context, number int32, offset int64, max int, first bool) (Chunk, error) {
	return l.readOrMissed(ctx, collector{number: number, offset: offset, max: max, first: first, committed: true})
}

func (l *Log) readOrMissed(ctx context.Context, c collector) (Chunk, error) {
	number, offset := c.number, c.offset
	chunk, err := l.read(ctx, c)
	if ends := l.Offsets(number); errors.Is(err, errLost) && offset < ends.Start { // deleted meanwhile
		chunk.Offsets = ends
		return chunk, outOfRange(offset, ends)
	}
	if err == nil && c.committed && chunk.Bytes > 0 {
		chunk.Aborted, err = l.abortedIn(number, offset, chunk.Batches[len(chunk.Batches)-1].NextOffset())
	}
	return chunk, err
}

func outOfRange(offset int64, ends Offsets) error {
	return fmt.Errorf("%w: %d is not in [%d, %d]", ErrOutOfRange, offset, ends.Start, ends.Next)
}

func (l *Log) read(ctx context.Context, c collector) (Chunk, error) {
	number, offset := c.number, c.offset
	l.mu.RLock()
	p := l.state.partitions[number]
	if p != nil {
		c.Offsets, c.Stable = Offsets{p.start, p.next}, p.stable()
	}
	if c.end = c.Offsets.Next; c.committed {
		c.end = c.Stable
	}
	tail := l.state.tail
	if offset < c.Offsets.Start || offset > c.Offsets.Next {
		l.mu.RUnlock()
		return c.Chunk, outOfRange(offset, c.Offsets)
	}
	if offset >= c.end || c.max <= 0 && !c.first {
		l.mu.RUnlock()
		return c.Chunk, nil
	}
	near := p.near(offset)
	chosen := c.choose(near)
	from, found := p.index.offset(offset)
	l.mu.RUnlock()
	if len(near) > 0 { // only its length may be looked at without the lock
		return l.readNear(ctx, &c, chosen)
	}
	if !found {
		return c.Chunk, fmt.Errorf("topiclog: no place known for offset %d of partition %d", offset, number)
	}
	return l.readFar(ctx, &c, l.reads.hint(number, offset, from.sequence), tail)
}

// collector takes in batches until it has enough.
type collector struct {
	Chunk
	number int32
	offset int64
	max    int
	first  bool

	committed bool
	end       int64 // what lies from here on is not read
}

// wants tells whether a batch of so many bytes is still to be returned.
func (c *collector) wants(length int) bool {
	return c.Bytes+length <= c.max || c.first && c.Bytes == 0
}

// choose copies the positions that a read will return.
func (c *collector) choose(near []position) []position {
	bytes, n := 0, 0
	for n < len(near) && near[n].base < c.end && (bytes+int(near[n].length) <= c.max || c.first && n == 0) {
		bytes += int(near[n].length)
		n++
	}
	return append([]position(nil), near[:n]...)
}

func (c *collector) add(b batch.Batch) {
	c.Batches = append(c.Batches, b)
	c.Bytes += len(b)
	c.offset = b.NextOffset()
}

// readNear reads batches whose places are known.
func (l *Log) readNear(ctx context.Context, c *collector, near []position) (Chunk, error) {
	var m *Message
	for _, at := range near {
		if m == nil || m.Sequence != at.sequence {
			var err error
			if m, err = l.message(ctx, at.sequence); err != nil {
				return c.Chunk, err
			}
		}
		if int(at.entry) >= len(m.Entries) || m.Entries[at.entry].Base != at.base || m.Entries[at.entry].Partition != c.number {
			return c.Chunk, fmt.Errorf("%w: %d has no batch at offset %d", errLost, at.sequence, at.base)
		}
		c.add(m.Batch(&m.Entries[at.entry]))
	}
	return c.Chunk, nil
}

// readFar goes through the messages from a sequence at or before the wanted batch.
func (l *Log) readFar(ctx context.Context, c *collector, from, tail uint64) (Chunk, error) {
	asked, last := c.offset, from
	err := l.scan(ctx, from, tail, func(m *Message) bool {
		for i := range m.Entries {
			e := &m.Entries[i]
			if e.Partition != c.number || e.Length == 0 || e.Next <= c.offset {
				continue
			}
			if e.Base >= c.end || !c.wants(e.Length) {
				return false
			}
			c.add(m.Batch(e))
			last = m.Sequence
		}
		return true
	})
	if err == nil && c.Bytes == 0 && c.first {
		err = fmt.Errorf("%w: offset %d of partition %d", errLost, asked, c.number)
	}
	if c.Bytes > 0 {
		l.reads.remember(c.number, c.offset, last)
		err = nil // what was found can be answered; the rest is asked for again
	}
	return c.Chunk, err
}

// scan calls f for the messages from one sequence to another until it returns false.
func (l *Log) scan(ctx context.Context, from, to uint64, f func(*Message) bool) error {
	for from <= to {
		block := []*Message{l.cfg.Cache.get(l.id, from)}
		if block[0] == nil {
			var err error
			if block, err = l.load(ctx, from); err != nil {
				return err
			}
		}
		for _, m := range block {
			if m.Sequence > to || !f(m) {
				return nil
			}
			from = m.Sequence + 1
		}
	}
	return nil
}

// message is one message that is known to exist.
func (l *Log) message(ctx context.Context, sequence uint64) (*Message, error) {
	if m := l.cfg.Cache.get(l.id, sequence); m != nil {
		return m, nil
	}
	block, err := l.load(ctx, sequence)
	if err != nil {
		return nil, err
	}
	if block[0].Sequence != sequence {
		return nil, fmt.Errorf("%w: %d", errLost, sequence)
	}
	return block[0], nil
}

// reads is what the readers of a log share: blocks on their way, and where readers of the past have got to.
type reads struct {
	mu    sync.Mutex
	calls map[uint64]*call
	hints map[hint]uint64
}

type call struct {
	done  chan struct{}
	block []*Message
	err   error
}

type hint struct {
	partition int32
	offset    int64
}

func (r *reads) init() { r.calls, r.hints = map[uint64]*call{}, map[hint]uint64{} }

// mostHints bounds the hints; they are all forgotten then, since each costs at most one short scan to make again.
const mostHints = 4096

func (r *reads) remember(number int32, offset int64, sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.hints) >= mostHints {
		clear(r.hints)
	}
	r.hints[hint{number, offset}] = sequence
}

func (r *reads) hint(number int32, offset int64, otherwise uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(otherwise, r.hints[hint{number, offset}])
}

// load reads a block of messages from the stream, beginning with the first at or after a sequence that is known to exist. Readers who
// want the same share one read.
func (l *Log) load(ctx context.Context, from uint64) ([]*Message, error) {
	l.reads.mu.Lock()
	c := l.reads.calls[from]
	if c == nil {
		c = &call{done: make(chan struct{})}
		l.reads.calls[from] = c
		go l.fill(c, from)
	}
	l.reads.mu.Unlock()
	select {
	case <-c.done:
		return c.block, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fill does the reading for everybody; it is bounded by the storage's own patience.
func (l *Log) fill(c *call, from uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	c.block, c.err = l.readBlock(ctx, from)
	l.reads.mu.Lock()
	delete(l.reads.calls, from)
	l.reads.mu.Unlock()
	close(c.done)
}

// readBlock asks any replica and, should that be behind, the leader.
func (l *Log) readBlock(ctx context.Context, from uint64) ([]*Message, error) {
	var block []*Message
	take := func(r log.Record) error {
		if r.Sequence > l.lastMessage() {
			return errBeyond
		}
		m, err := l.parse(r)
		if err == nil {
			block = append(block, m)
			l.cfg.Cache.addRead(l.id, m)
		}
		return err
	}
	_, err := l.cfg.Storage.Read(ctx, from, blockBytes, take)
	if len(block) > 0 {
		return block, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := l.cfg.Storage.ReadLeader(ctx, from)
	if errors.Is(err, log.ErrNotFound) {
		return nil, fmt.Errorf("%w: %d", errLost, from)
	}
	if err == nil {
		err = take(r)
	}
	return block, err
}

// parse makes a Message of a record; one that is no message of the log, or void, has no entries.
func (l *Log) parse(r log.Record) (*Message, error) {
	l.cfg.Metrics.read(len(r.Data))
	h, body, err := log.ParseHeader(r.Data)
	if errors.Is(err, log.ErrVersion) {
		return nil, err
	}
	if err != nil || h.Kind != log.KindMessage || l.log.IsVoid(r.Sequence) {
		return &Message{Sequence: r.Sequence}, nil
	}
	return ParseMessage(r.Sequence, body)
}
