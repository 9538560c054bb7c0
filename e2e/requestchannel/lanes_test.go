package requestchannel

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rc "kanal/libs/requestchannel"
)

// loops is a Sink with the loops of processors that come and go.
type loops struct {
	mu   sync.Mutex
	live map[int]chan rc.Outcome
	lost atomic.Int64 // outcomes for a processor that is not there
}

func (l *loops) Deliver(processor int, batch []rc.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.live[processor]
	for _, o := range batch {
		o.Pending.Done(rc.Sent, now(), 0)
		o.Pending = nil
		if to == nil {
			l.lost.Add(1)
			continue
		}
		to <- o
	}
}

func (l *loops) Resume(int) {}

func (l *loops) set(processor int, to chan rc.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[processor] = to; to == nil {
		delete(l.live, processor)
	}
}

// W3, W9: lanes come and go under load; each request gets its own answer, and nothing is left of a lane that has gone,
// also where connections closed with requests under way. Numbers come again after a while, and then with other request
// ids: an answer that is late for the past is nobody's.
func TestLanesComeAndGoUnderLoad(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	for range 3 {
		newInstance(t, url, "echo", nil, echo)
	}
	sink := &loops{live: map[int]chan rc.Outcome{}}
	nc := connect(t, url)
	c := runChannelOn(t, nc, connect(t, url), func(cfg *rc.ChannelConfig) { cfg.QueuedMaxRequests = 100000 }, sink)
	const atATime, lives, numbers = 8, 60, 20
	eventually(t, "the handlers are seen", func() bool { return len(c.View().Handlers()) == 3 })
	before := nc.NumSubscriptions()
	var running sync.WaitGroup
	var answered atomic.Int64
	for i := range atATime {
		running.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(i), 0))
			for life := range lives {
				oneLoop(t, c, sink, 1+i*numbers+life%numbers, chance, &answered)
			}
		})
	}
	running.Wait()
	eventually(t, "no request is left", func() bool { return c.InFlight() == 0 })
	if n := nc.NumSubscriptions(); n != before {
		t.Errorf("%d subscriptions, %d before", n, before)
	}
	t.Log("answered:", answered.Load(), "too late for their processor:", sink.lost.Load())
}

// oneLoop is a processor's life: some passes of requests, whose answers all have to come; at last some requests of
// connections that close at once, and its end.
func oneLoop(t *testing.T, c *rc.Channel, sink *loops, processor int, chance *rand.Rand, answered *atomic.Int64) {
	got := make(chan rc.Outcome, 1000)
	sink.set(processor, got)
	if err := c.AddProcessor(processor); err != nil {
		t.Error(err)
		return
	}
	if err := c.AddProcessor(processor); !errors.Is(err, rc.ErrProcessorExists) {
		t.Errorf("added twice: %v", err)
	}
	submit := func(token uint64) {
		frame := binary.BigEndian.AppendUint64(nil, token<<32|uint64(chance.Uint32()))
		call := rc.Call{Route: c.Route("echo"), Processor: processor, Token: token, APIKey: -1, Frame: frame, Received: now(),
			Origin: rc.AppendOrigin(nil, rc.Origin{FrontEnd: "fe1", ConnectionID: "c"})}
		if !c.Submit(&call) {
			t.Error("refused")
		}
	}
	for range 1 + chance.IntN(5) {
		due := map[uint64]bool{}
		for token := range uint64(1 + chance.IntN(30)) {
			due[token] = true
			submit(token)
		}
		c.Flush(processor)
		for len(due) > 0 {
			select {
			case o := <-got:
				if o.Kind != rc.Send || !due[o.Token] || binary.BigEndian.Uint64(o.Frame)>>32 != o.Token {
					t.Errorf("outcome %v of connection %d: %x", o.Kind, o.Token, o.Frame)
				}
				delete(due, o.Token)
				answered.Add(1)
			case <-time.After(10 * time.Second):
				t.Error("an answer is missing")
				return
			}
		}
	}
	for token := range uint64(chance.IntN(3)) {
		submit(token)
		c.Disconnected(processor, token, false)
	}
	c.RemoveProcessor(processor)
	sink.set(processor, nil)
}
