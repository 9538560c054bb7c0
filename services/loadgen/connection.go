package loadgen

import (
	"net/netip"
	"time"

	"kanal/libs/network"
)

// connection is one connection with its window of requests. Answers come in the
// order of the requests, so the window is a ring. It belongs to a worker.
type connection struct {
	exchange exchange
	addr     netip.AddrPort
	channel  *network.Channel // nil while there is none

	window  []request
	oldest  int // in window
	waiting int // requests outstanding

	backoff time.Duration // of the next try to connect
	due     int64         // when that is, while channel is nil
}

// request is one that is outstanding, or the place of one that is over.
type request struct {
	frame []byte
	sent  int64 // when it was handed to the selector, by the worker's clock
}

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
)

// begin gives the next request's frame.
func (c *connection) begin(now int64) []byte {
	r := &c.window[(c.oldest+c.waiting)%len(c.window)]
	c.waiting++
	r.frame, r.sent = c.exchange.next(r.frame), now
	return r.frame
}

// end takes the oldest request out. It is valid until the next begin.
func (c *connection) end() *request {
	r := &c.window[c.oldest]
	c.oldest = (c.oldest + 1) % len(c.window)
	c.waiting--
	c.backoff = firstBackoff
	return r
}

// lose forgets the channel and gives the number of requests that went with it.
func (c *connection) lose(now int64) int {
	lost := c.waiting
	c.channel, c.waiting, c.oldest = nil, 0, 0
	c.due = now + int64(c.backoff)
	c.backoff = min(2*c.backoff, maxBackoff)
	return lost
}
