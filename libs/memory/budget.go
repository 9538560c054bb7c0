// Package memory has the byte budget for requests in flight that the processors and the request channel of a front end
// share: Kafka's MemoryPool. It counts bytes and says who may go on; the bytes themselves are their owners'.
package memory

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Budget is a bound on the bytes of requests in flight (MemoryPool, SimpleMemoryPool; queued.max.request.bytes): what
// selectors have in buffers of frames that are not complete or not taken over yet, and the frames that the request
// channel holds until their outcome.
//
// Unlike in Kafka nothing is allocated because a size announced it: what counts are bytes that have arrived. They are
// refused before they are read, when the budget is used up or somebody waits for it, and never afterwards; so Hold
// always succeeds. How exact that is:
//
//   - a selector asks once a pass, so that a request costs no look at the budget: what is read beyond the limit is at
//     most one scratch (128 KiB) a processor;
//   - large buffers are taken from the budget before they are allocated, small ones counted at the end of their pass,
//     or sooner when they come to 64 KiB;
//   - while a large frame is copied into the request channel there are two of it, and one counts;
//   - free lists, scratch memory and what is parked (ChannelConfig.ParkedMaxBytes) do not count;
//   - a frame of more than three quarters of the limit may exceed it by what is beyond them, so that it comes through.
//
// Partial frames, which only their senders can end, may have half of it: beyond that the one whose bytes came longest
// ago is closed (unlike I6, where whoever announced first keeps what it was given, and others wait). Which one that is
// is compared over all selectors, by what each told at the end of its last pass. A frame of another selector is closed
// by that, in its next pass; where frames grow by a sixteenth of the budget meanwhile, one of those that are at hand is
// closed too. So a frame that grows at the same time as many may be closed, and is to be sent again. The last one is
// not closed, even if it is larger than the half.
//
// All methods may be called by any goroutine.
type Budget struct {
	limit   int64
	used    atomic.Int64
	partial atomic.Int64
	waiting atomic.Int32 // tickets in line; while it is 0 nobody takes mu

	mu       sync.Mutex
	shares   []*Share      // guarded by mu
	passes   []*ticket     // guarded by mu: selectors that want to read on, in line
	wants    []*ticket     // guarded by mu: those that want a large buffer, in line
	since    time.Time     // guarded by mu: when the line began
	depleted time.Duration // guarded by mu: how long there was a line before since
}

// NewBudget makes a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Hold counts n bytes in, whether there is room for them or not.
func (b *Budget) Hold(n int) { b.used.Add(int64(n)) }

// Release counts n bytes out. Whoever waits for them goes on at once (unlike I7).
func (b *Budget) Release(n int) {
	b.used.Add(-int64(n))
	if b.waiting.Load() > 0 {
		b.mu.Lock()
		b.serve(int64(n))
		b.mu.Unlock()
	}
}

// Limit, Used and Partial are bytes: the bound, what is taken of it, and what partial frames have of that.
func (b *Budget) Limit() int64   { return b.limit }
func (b *Budget) Used() int64    { return b.used.Load() }
func (b *Budget) Partial() int64 { return b.partial.Load() }

// Waiting is how many selectors wait to read on, and how many large frames for a buffer.
func (b *Budget) Waiting() int { return int(b.waiting.Load()) }

// Depleted is how long, in all, somebody waited for room (I12).
func (b *Budget) Depleted() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.Load() > 0 {
		return b.depleted + time.Since(b.since)
	}
	return b.depleted
}

// try takes n bytes if there is room for all of them and nobody in line.
func (b *Budget) try(n int64) bool {
	for b.waiting.Load() == 0 {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
	return false
}

// serve gives room to those in line; freed is how much has just become free.
func (b *Budget) serve(freed int64) {
	b.serveWants(freed)
	b.servePasses()
	if b.waiting.Load() == 0 && !b.since.IsZero() {
		b.depleted += time.Since(b.since)
		b.since = time.Time{}
	}
}

// serveWants collects room for the large buffer at the head of the line: half of what becomes free, and all that is
// free beyond an eighth of the budget. So it has its bytes after at most twice as many have been released, however many
// small frames come meanwhile (M1 and 5.3 #24), and these go on.
func (b *Budget) serveWants(freed int64) {
	for len(b.wants) > 0 {
		t := b.wants[0]
		free := b.limit - b.used.Load()
		take := min(max((freed+1)/2, free-b.limit/8), free, t.want-t.got)
		if take > 0 {
			t.got += take
			b.used.Add(take)
		}
		if t.got < t.want {
			return
		}
		b.wants = slices.Delete(b.wants, 0, 1)
		freed = 0
		b.grant(t)
	}
}

// servePasses lets as many selectors read on as there are bytes free for what they may bring.
func (b *Budget) servePasses() {
	for used := b.used.Load(); len(b.passes) > 0 && used < b.limit; used += PassBytes {
		t := b.passes[0]
		b.passes = slices.Delete(b.passes, 0, 1)
		b.grant(t)
	}
}

// PassBytes is what one pass of a selector reads at most without asking again.
const PassBytes = 128 << 10

// ticket is a place in a line.
type ticket struct {
	share   *Share
	inLine  bool        // owned by the share's goroutine
	granted atomic.Bool // what it stands in line for is there
	// guarded by Budget.mu: bytes needed and bytes put aside, of a large buffer
	want, got int64
}

// queue puts t in line, which may be its turn at once.
func (b *Budget) queue(line *[]*ticket, t *ticket, want int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.inLine, t.want, t.got = true, want, 0
	*line = append(*line, t)
	if b.waiting.Add(1) == 1 {
		b.since = time.Now()
	}
	b.serve(0)
}

func (b *Budget) grant(t *ticket) {
	b.waiting.Add(-1)
	t.granted.Store(true)
	t.share.wake()
}

// take ends standing in line if it is t's turn.
func (t *ticket) take() bool {
	if !t.granted.Load() {
		return false
	}
	t.granted.Store(false)
	t.inLine = false
	return true
}
