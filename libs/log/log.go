package log

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Log needs. Zero durations and sizes take the defaults.
type Config struct {
	Name    string // of the stream, for people
	Storage Storage
	Machine Machine
	Log     *slog.Logger
	Metrics *Metrics // may be nil

	Writer             uint64           // incarnation; 0 draws one. Never used twice.
	Now                func() time.Time // time.Now
	MessageBytes       int              // what a message should have at most: 512 KiB
	CheckpointBytes    int              // a checkpoint is due after so many bytes of messages: 32 MiB
	CheckpointMessages int              // or so many messages: 4096
	CheckpointInterval time.Duration    // or so much time, if there is a message at all: 1 min
	Silence            time.Duration    // without news for so long, the stream is asked: 3 s, and twice as long each time there is none
	AppendTimeout      time.Duration    // after which the outcome of a publish counts as unknown: 2 s
}

func (c *Config) defaults() {
	set(&c.MessageBytes, 512<<10)
	set(&c.CheckpointBytes, 32<<20)
	set(&c.CheckpointMessages, 4096)
	set(&c.CheckpointInterval, time.Minute)
	set(&c.Silence, 3*time.Second)
	set(&c.AppendTimeout, 2*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	for c.Writer == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		c.Writer = binary.BigEndian.Uint64(b[:])
	}
}

func set[T int | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// Log is one writer's view of a log, and his way to write it. One goroutine owns it; Wake and Close are for the others.
type Log struct {
	cfg     Config // immutable after Open
	storage Storage
	machine Machine
	log     *slog.Logger
	metrics *Metrics

	wake   chan struct{} // capacity 1
	trim   atomic.Bool   // Trim was asked for
	seen   atomic.Uint64 // highest sequence that the feed brought
	voids  atomic.Pointer[[]uint64]
	purged atomic.Uint64 // everything below is known to be purged
	stop   context.CancelFunc
	closed sync.Once
	done   chan struct{}

	// owned by run's goroutine
	chain      Chain
	number     uint64    // of the newest record made here
	checkpoint mark      // newest complete checkpoint
	previous   mark      // one before it; zero if none is known
	sinceBytes int       // of messages after it
	sinceCount int       // messages after it
	checked    time.Time // when it was written or noticed
	heard      time.Time // last news from the stream, or when it was last asked
	silence    time.Duration
	interrupts uint64 // of the feed, when the stream was last asked
	holder     bool   // the last valid message is from here
	background sync.WaitGroup
}

// mark is where a checkpoint stands, and how large it is.
type mark struct {
	first, last uint64
	bytes       int
}

// Open reads the log's state into the machine and starts following it. The stream must exist.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg.defaults()
	l := &Log{cfg: cfg, storage: cfg.Storage, machine: cfg.Machine, log: cfg.Log.With("log", cfg.Name), metrics: cfg.Metrics,
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	unfollow, err := l.storage.Follow(l.announce) // before reading, so that nothing falls between
	if err != nil {
		return nil, err
	}
	if err := l.recover(ctx); err != nil {
		unfollow()
		return nil, fmt.Errorf("open log %s: %w", cfg.Name, err)
	}
	life, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() {
		defer close(l.done)
		defer unfollow()
		l.run(life)
		l.background.Wait()
	}()
	return l, nil
}

// Wake says that the machine may have something to build.
func (l *Log) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Trim asks to drop what nothing needs any more: a checkpoint is written if the newest one stands behind what could go, and what lies
// below is purged. It returns at once. The machine's Needs decides; whoever has made it grow asks.
func (l *Log) Trim() {
	l.trim.Store(true)
	l.Wake()
}

// announce is the feed.
func (l *Log) announce(sequence uint64) {
	for {
		seen := l.seen.Load()
		if sequence <= seen {
			return
		}
		if l.seen.CompareAndSwap(seen, sequence) {
			l.Wake()
			return
		}
	}
}

// IsVoid says whether the record at a sequence, which must not lie above the newest applied message, is a message that does not
// count: for those who read the stream themselves.
func (l *Log) IsVoid(sequence uint64) bool {
	voids := l.voids.Load()
	if voids == nil {
		return false
	}
	_, found := slices.BinarySearch(*voids, sequence)
	return found
}

// showVoids publishes the chain's void sequences for IsVoid.
func (l *Log) showVoids() {
	voids := slices.Clone(l.chain.Voids)
	l.voids.Store(&voids)
}

// Done is closed when the log has ended, by Close or because its records cannot be understood.
func (l *Log) Done() <-chan struct{} { return l.done }

// Close ends the log and waits for its goroutine. What is being published is waited for a moment; the rest fails with ErrClosed.
func (l *Log) Close() {
	l.closed.Do(l.stop)
	<-l.done
}

// run is the life of the log: follow what others wrote, write what waits, take checkpoints.
func (l *Log) run(ctx context.Context) {
	tick := time.NewTicker(l.cfg.Silence)
	defer tick.Stop()
	err := ErrClosed
	for ctx.Err() == nil {
		if e := l.step(ctx); e != nil && ctx.Err() == nil {
			l.log.Error("log stopped", "err", e)
			err = fmt.Errorf("%w: %w", ErrClosed, e)
			break
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-tick.C:
		}
	}
	l.machine.Fail(err)
}

// step does everything there is to do. An error is final.
func (l *Log) step(ctx context.Context) error {
	if err := l.follow(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		record := l.machine.Build(HeaderSize, l.cfg.MessageBytes-HeaderSize, l.storage.MaxRecord()-HeaderSize)
		if record == nil {
			break
		}
		if err := l.commit(ctx, record); err != nil {
			return err
		}
		if err := l.keepUp(ctx); err != nil {
			return err
		}
	}
	return l.keepUp(ctx)
}

// keepUp is what is done between messages.
func (l *Log) keepUp(ctx context.Context) error {
	if l.holder && l.checkpointDue() {
		if err := l.writeCheckpoint(ctx); err != nil {
			return err
		}
	}
	if l.trim.Swap(false) {
		return l.drop(ctx)
	}
	return nil
}

// follow reads what others wrote, when the feed or its silence asks for it (rule 6).
func (l *Log) follow(ctx context.Context) error {
	if !l.shouldAsk() {
		return nil
	}
	news, err := l.catchUp(ctx, nil)
	if err == nil && !news.moved && l.seen.Load() > l.chain.Tail {
		news, err = l.askLeader(ctx, nil) // the replica that answered is behind
		l.Wake()
	}
	if err = l.tolerate("read log", err); err != nil {
		return err
	}
	if news.foreign {
		l.machine.Conflict(false)
	}
	return nil
}

// longestSilence is how long a log without news is left alone, as a multiple of Silence: the feed tells in time, and thousands of idle
// logs must not keep everybody busy.
const longestSilence = 20

// shouldAsk decides about one look at the stream. Silence is measured from the last look or news; it counts double after each look.
func (l *Log) shouldAsk() bool {
	now, interrupts := l.cfg.Now(), l.storage.Interruptions()
	announced := l.seen.Load() > l.chain.Tail
	interrupted := interrupts != l.interrupts
	silent := now.Sub(l.heard) >= max(l.silence, l.cfg.Silence)
	if !announced && !interrupted && !silent {
		return false
	}
	l.silence = min(2*max(l.silence, l.cfg.Silence), longestSilence*l.cfg.Silence)
	if interrupted {
		l.silence = l.cfg.Silence
	}
	l.heard, l.interrupts = now, interrupts
	return true
}

// tolerate passes on errors that no repetition mends, and logs the others.
func (l *Log) tolerate(what string, err error) error {
	if err == nil || isFinal(err) {
		return err
	}
	l.log.Debug("log waits for its stream", "step", what, "err", err)
	return nil
}
