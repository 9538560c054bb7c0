package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kanal/libs/network"
)

// worker is a goroutine with a selector and its share of the connections.
type worker struct {
	// immutable after newWorker
	plan  *plan
	clock func() int64 // monotonic nanoseconds
	conns []*connection
	live  *counters // read by others

	// owned by run's goroutine
	sel         *network.Selector
	now         int64 // of this pass
	until       int64 // no request is sent from here on
	stopping    bool
	outstanding int
	closed      int // connections without a channel
	tally       *tally
}

func newWorker(p *plan, cfg Config, first, step int, clock func() int64) (*worker, error) {
	sel, err := network.New(network.Config{MaxReceiveSize: p.limit, ReceivesPerPoll: cfg.Window})
	if err != nil {
		return nil, err
	}
	w := &worker{plan: p, clock: clock, sel: sel, live: new(counters), tally: newTally()}
	for i := first; i < cfg.Connections; i += step {
		w.conns = append(w.conns, &connection{
			exchange: p.exchange(i), addr: p.address(i), window: make([]request, cfg.Window), backoff: firstBackoff,
		})
	}
	return w, nil
}

// connecting bounds how many connections a worker has under way before any
// stands, so that they do not overflow the server's backlog.
const connecting = 64

// connectTimeout bounds how long all connections may take.
const connectTimeout = 30 * time.Second

// connect establishes all connections before the load begins; one that fails
// fails the run.
func (w *worker) connect(ctx context.Context) error {
	begun, limit, standing := 0, w.clock()+int64(connectTimeout), 0
	for standing < len(w.conns) {
		for ; begun < len(w.conns) && begun-standing < connecting; begun++ {
			if err := w.open(w.conns[begun]); err != nil {
				return err
			}
		}
		if err := w.poll(longestPoll); err != nil {
			return err
		}
		standing += len(w.sel.Connected())
		for _, gone := range w.sel.Disconnected() {
			return fmt.Errorf("connect to %s: %w", gone.Channel.Attachment.(*connection).addr, cause(gone))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w.now > limit {
			return fmt.Errorf("connect: %d of %d connections stand after %s", standing, len(w.conns), connectTimeout)
		}
	}
	return nil
}

// cause is why a connection is gone; an end of stream has only its reason.
func cause(gone network.Closed) error {
	if gone.Err != nil {
		return gone.Err
	}
	return errors.New(gone.Reason.String())
}

func (w *worker) open(c *connection) (err error) {
	if c.channel, err = w.sel.Connect(c.addr, c); err != nil {
		return fmt.Errorf("connect to %s: %w", c.addr, err)
	}
	return nil
}

// run keeps the windows full until the given time or until ctx ends, and waits
// for what is outstanding then.
func (w *worker) run(ctx context.Context, until int64) error {
	w.until = until
	w.now = w.clock()
	before := w.sel.Stats()
	for _, c := range w.conns {
		w.fill(c)
	}
	for !w.over() {
		if err := w.poll(w.timeout()); err != nil {
			return err
		}
		w.lookAtTheClock(ctx)
		w.processAnswers()
		w.processSends()
		w.processDisconnected()
		if err := w.reconnect(); err != nil {
			return err
		}
		w.publish(before)
	}
	if !w.plan.silent {
		w.tally.fail("no answer in time", w.outstanding)
	}
	w.publish(before)
	return nil
}

func (w *worker) lookAtTheClock(ctx context.Context) {
	if !w.stopping && (w.now >= w.until || ctx.Err() != nil) {
		w.stopping, w.until = true, w.now
	}
}

func (w *worker) poll(timeout time.Duration) error {
	err := w.sel.Poll(timeout)
	w.now = w.clock()
	if err != nil {
		return fmt.Errorf("wait for events: %w", err)
	}
	return nil
}

// longestPoll is how long a worker may not notice that its context has ended.
const longestPoll = 100 * time.Millisecond

// grace is how long answers may take after the last request.
const grace = 5 * time.Second

// over tells whether nothing is to be waited for. What has no answer is not: the
// server may need long for what the sockets have taken already.
func (w *worker) over() bool {
	return w.stopping && (w.outstanding == 0 || w.plan.silent || w.now > w.until+int64(grace))
}

// timeout is short enough to notice the end, and who connects again.
func (w *worker) timeout() time.Duration {
	switch {
	case w.stopping:
		return longestPoll
	case w.closed > 0:
		return firstBackoff
	}
	return min(longestPoll, max(0, time.Duration(w.until-w.now)))
}
