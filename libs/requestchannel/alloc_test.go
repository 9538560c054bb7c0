package requestchannel

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// finished is a sink that ends what it is given.
type finished struct{ n int }

func (f *finished) Deliver(_ int, batch []Outcome) {
	for i := range batch {
		batch[i].Pending.Done(Sent, 0, 0)
		f.n++
	}
}

func (f *finished) Resume(int) {}

// TestRequestsDoNotAllocate goes the whole way of a request through the front
// end's side, but for NATS itself: submitted, queued, taken from the queue,
// stamped, answered, matched, delivered, counted.
func TestRequestsDoNotAllocate(t *testing.T) {
	sink := new(finished)
	clock := int64(0)
	c := &Channel{sink: sink, log: slog.New(slog.DiscardHandler), cfg: ChannelConfig{
		QueuedMaxRequests: 10, QueuedMaxBytes: 1 << 20, ResponseMaxBytes: 1 << 30, Budget: unbounded{}, PrivilegedBudget: unbounded{}, RequestTimeout: time.Second, Metrics: newChannelMetrics(), Now: func() int64 { return clock },
	}}
	c.lanes.Store((&lanes{}).with(new(lane)))
	c.inbox.wakeup = make(chan struct{}, 1)
	d := &c.dispatcher
	d.init(c)
	route := c.Route("echo")
	i := &instance{id: "H1", service: route.service, share: 10, state: StateReady}
	i.service.instances = []*instance{i}
	call := Call{Route: route, APIKey: -1, Origin: AppendOrigin(nil, Origin{FrontEnd: "FE1"}), Frame: make([]byte, 100)}
	response := Response{Kind: Send, Parts: 1, Attempt: 1}
	m := new(nats.Msg)
	round := func() {
		clock += 1000
		d.now = clock
		call.Token, call.Received = uint64(clock), clock
		if !c.Submit(&call) {
			t.Fatal("refused")
		}
		c.Flush(0)
		<-c.inbox.wakeup
		d.takeInbox()
		d.processSubmitted()
		q := route.ready[0]
		granted := d.grants.of(q.peek())
		if d.takerOf(route, q) != i || granted == 0 {
			t.Fatal("nobody takes it")
		}
		p := q.pop()
		p.queue = nil
		route.ready = route.ready[:0]
		d.leave(p)
		d.grants.take(p, granted)
		p.Attempt++
		putDispatch(p.message, &p.Request)
		p.instance, p.state, p.dispatched = i, outstanding, d.now
		i.took(p)
		response.ID, response.Token = p.ID, p.Token
		m.Data = append(AppendResponse(m.Data[:0], &response), p.message[p.header:]...)
		c.receive(m)
		<-c.inbox.wakeup
		d.takeInbox()
		d.processArrived()
		d.deliver()
	}
	for range 100 {
		round() // what is kept has grown
	}
	// A whole number: what a pool loses now and then, under the race detector on
	// purpose, is below one.
	if n := testing.AllocsPerRun(1000, round); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
	if sink.n < 1100 || len(d.pendings) != 0 || len(d.byConn) != 0 || i.outstanding != 0 || c.InFlight() != 0 {
		t.Errorf("%d requests, %d pending, %d outstanding, %d in flight", sink.n, len(d.pendings), i.outstanding, c.InFlight())
	}
}
