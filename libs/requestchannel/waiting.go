package requestchannel

import "sync/atomic"

// tally counts requests and their bytes in one number, so that both change at
// once: requests above, bytes in the lower 40 bits.
type tally struct{ atomic.Int64 }

const oneRequest = 1 << 40

// add counts a request of that many bytes in and gives how many of both there are.
func (t *tally) add(bytes int) (requests, held int64) { return split(t.Add(oneRequest + int64(bytes))) }

func (t *tally) sub(bytes int) { t.Add(-oneRequest - int64(bytes)) }

func (t *tally) requests() int64 { return t.Load() / oneRequest }

func split(n int64) (requests, bytes int64) { return n / oneRequest, n % oneRequest }

// clients is how many clients a route tells apart where room is scarce; those
// beyond share a place.
const clients = 256

// waiting counts what waits in a route: in all, which is bounded, and by client.
// Loops count in, the dispatcher counts out.
type waiting struct {
	most      int64 // requests
	mostBytes int64
	all       tally
	client    [clients]tally
}

// enter counts a request in if there is room for it (queued.max.requests), and
// its client has not more there than it may. The first of a client comes in
// whatever its bytes: large ones are not starved by many small ones.
func (w *waiting) enter(client uint32, bytes int) bool {
	n, held := w.all.add(bytes)
	mine, myBytes := w.client[client%clients].add(bytes)
	if n <= w.most && mine <= may(w.most-n) && (mine == 1 || held <= w.mostBytes && myBytes <= may(w.mostBytes-held)) {
		return true
	}
	w.leave(client, bytes)
	return false
}

// may is how much one client may have there, where so much is free: three times
// that. So one alone has three quarters, and many have equal shares, with some
// room left for whoever comes next. This is the dynamic threshold of switches
// with shared memory (Choudhury and Hahne, 1998): nobody has to count who is
// there.
func may(free int64) int64 { return 1 + 3*free }

// stay counts a request in that was in before, whatever the room.
func (w *waiting) stay(client uint32, bytes int) {
	w.all.add(bytes)
	w.client[client%clients].add(bytes)
}

// leave counts a request out.
func (w *waiting) leave(client uint32, bytes int) {
	w.all.sub(bytes)
	w.client[client%clients].sub(bytes)
}
