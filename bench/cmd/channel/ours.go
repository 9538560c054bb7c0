package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"

	"kanal/bench/peer"
	"kanal/libs/memory"
	"kanal/libs/requestchannel"
)

// channel is the front end's side of the request channel with one processor, whose loop has a connection for each
// request of the window.
type channel struct {
	*requestchannel.Channel
	small, large *nats.Conn
	origin       []byte
	end          func()

	mu        sync.Mutex
	delivered []requestchannel.Outcome
	wakeup    chan struct{}
}

// newChannel waits until it sees all handlers.
func newChannel(url string, handlers int) (*channel, error) {
	c := &channel{wakeup: make(chan struct{}, 1), end: func() {}, origin: origin()}
	var err error
	if c.small, err = peer.Dial(url, "frontend"); err != nil {
		return nil, err
	}
	if c.large, err = peer.Dial(url, "frontend-large"); err != nil {
		c.small.Close()
		return nil, err
	}
	c.Channel, err = requestchannel.NewChannel(requestchannel.ChannelConfig{
		Subjects: peer.Subjects, FrontEnd: frontEnd, QueuedMaxRequests: 500, Budget: memory.NewBudget(1 << 30), ParkedMaxBytes: 1 << 20,
		ResponseMaxBytes: 1 << 30, RequestTimeout: 30 * time.Second, ProbeInterval: 25 * time.Millisecond, Now: clock,
	}, c.small, c.large, c, slog.New(slog.DiscardHandler))
	if err == nil {
		err = c.AddProcessor(0)
	}
	if err != nil {
		c.small.Close()
		c.large.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx) // its requests are counted
	}()
	c.end = func() { cancel(); <-done }
	if err := c.await(handlers); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// await waits until so many handlers are seen.
func (c *channel) await(handlers int) error {
	for deadline := time.Now().Add(20 * time.Second); len(c.View().Handlers()) < handlers; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d handlers seen within 20 s", len(c.View().Handlers()), handlers)
		}
	}
	return nil
}

func (c *channel) close() {
	c.end()
	c.small.Close()
	c.large.Close()
}

// started is where this process's clock begins.
var started = time.Now()

func clock() int64 { return int64(time.Since(started)) }

// drive is a processor's loop: it takes what was delivered, and submits as many anew.
func (c *channel) drive(ctx context.Context, l load, latencies *hdrhistogram.Histogram) (answers int64, err error) {
	call := requestchannel.Call{Route: c.Route("echo"), APIKey: -1, Origin: c.origin, Frame: make([]byte, l.size)}
	begun := make([]int64, l.window+1) // by token
	submit := func(token uint64) error {
		call.Token, call.Received = token, clock()
		begun[token] = call.Received
		if !c.Submit(&call) {
			return fmt.Errorf("the queue is full with %d requests", l.window)
		}
		return nil
	}
	for token := range l.window {
		if err := submit(uint64(token) + 1); err != nil {
			return 0, err
		}
	}
	c.Flush(0)
	var batch []requestchannel.Outcome
	for open, end := l.window, clock()+int64(l.duration); open > 0; {
		if batch, err = c.take(ctx, batch); err != nil {
			return answers, err
		}
		now := clock()
		for i := range batch {
			o := &batch[i]
			if o.Kind != requestchannel.Send || len(o.Frame) != l.size {
				return answers, fmt.Errorf("an answer of kind %s with %d bytes", o.Kind, len(o.Frame))
			}
			o.Pending.Done(requestchannel.Sent, now, 0)
			_ = latencies.RecordValue((now - begun[o.Token]) / 1000) // below most
			answers++
			if now >= end {
				open--
			} else if err := submit(o.Token); err != nil {
				return answers, err
			}
		}
		c.Flush(0)
	}
	return answers, nil
}

// take waits for outcomes and swaps them with an empty batch.
func (c *channel) take(ctx context.Context, into []requestchannel.Outcome) ([]requestchannel.Outcome, error) {
	select {
	case <-c.wakeup:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(into)
	out := c.delivered
	c.delivered = into[:0]
	return out, nil
}

// Deliver implements requestchannel.Sink.
func (c *channel) Deliver(_ int, batch []requestchannel.Outcome) {
	c.mu.Lock()
	c.delivered = append(c.delivered, batch...)
	c.mu.Unlock()
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// Resume implements requestchannel.Sink; nothing is refused.
func (c *channel) Resume(int) {}
