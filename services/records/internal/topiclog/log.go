// Package topiclog is a topic's log: the partitions that live in it, as its messages make them, on top of libs/log. Producers' batches
// go in as group commits, consumers read from memory or, behind it, from the stream. Its Kafka counterparts are UnifiedLog,
// ProducerStateManager and the purgatories' idea of waking a fetch by an append.
package topiclog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kanal/libs/log"
)

// Config is what a Log needs.
type Config struct {
	Name        string // of the stream
	Storage     log.Storage
	Cache       *Cache
	LeaderEpoch func() int32 // written into batches
	Log         *slog.Logger
	Metrics     *Metrics     // may be nil
	LogMetrics  *log.Metrics // may be nil
	// ProducerExpiry is how long an idle producer id is remembered: producer.id.expiration.ms, 0 for a day.
	ProducerExpiry time.Duration
	Now            func() time.Time  // nil: time.Now
	Tune           func(*log.Config) // nil, or changes to the settings below
}

// Log is an open topic log. Its methods may be called from any goroutine.
type Log struct {
	cfg Config
	id  uint64 // in the cache
	log *log.Log

	mu        sync.RWMutex // of what is committed
	state     state
	confirmed time.Time // when the last message that has committed was sent

	queueMu  sync.Mutex
	queue    []*Append
	deletes  []*Delete
	confirms []chan<- error
	ended    error

	reads reads
	build builder // owned by the log's goroutine
}

var lastID atomic.Uint64

// Open reads a log's state and follows it.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ProducerExpiry == 0 {
		cfg.ProducerExpiry = 24 * time.Hour
	}
	l := &Log{cfg: cfg, id: lastID.Add(1), state: state{partitions: map[int32]*partition{}}}
	l.reads.init()
	l.build.init()
	c := log.Config{Name: cfg.Name, Storage: cfg.Storage, Machine: (*machine)(l), Log: cfg.Log, Metrics: cfg.LogMetrics, Now: cfg.Now}
	if cfg.Tune != nil {
		cfg.Tune(&c)
	}
	l.queueMu.Lock() // Wake needs log
	defer l.queueMu.Unlock()
	opened, err := log.Open(ctx, c)
	if err != nil {
		cfg.Cache.drop(l.id)
		return nil, err
	}
	l.log = opened
	return l, nil
}

// Close ends the log; what waits ends with log.ErrClosed.
func (l *Log) Close() {
	l.log.Close()
	l.cfg.Cache.drop(l.id)
}

// Done is closed when the log has ended.
func (l *Log) Done() <-chan struct{} { return l.log.Done() }

// MaxBatch is the largest batch that the log can take, in bytes.
func (l *Log) MaxBatch() int { return MaxBatch(l.cfg.Storage) }

// MaxBatch is the largest batch that a log in this storage can take, in bytes.
func MaxBatch(s log.Storage) int { return s.MaxRecord() - log.HeaderSize - bodySize(1, 0) }

// Offsets are the ends of a partition.
type Offsets struct{ Start, Next int64 }

// Offsets returns a partition's log start offset and high watermark.
func (l *Log) Offsets(number int32) Offsets {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.state.partitions[number]; p != nil {
		return Offsets{p.start, p.next}
	}
	return Offsets{}
}

// lastMessage is the sequence of the last committed message.
func (l *Log) lastMessage() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.tail
}

// EpochOf is the leader epoch of the record at an offset, -1 if it is not known.
func (l *Log) EpochOf(number int32, offset int64) int32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.state.partitions[number]; p != nil {
		return p.epochOf(offset)
	}
	return -1
}

// EpochEnd is the largest epoch up to the given one and the offset where it ends; -1, -1 if there is none.
func (l *Log) EpochEnd(number, epoch int32) (int32, int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.state.partitions[number]; p != nil {
		return p.epochEnd(epoch)
	}
	return -1, -1
}

// partition returns a partition's state, made if need be; mu is held for writing.
func (l *Log) partition(number int32) *partition {
	p := l.state.partitions[number]
	if p == nil {
		p = newPartition()
		l.state.partitions[number] = p
	}
	return p
}
