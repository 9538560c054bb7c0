package requestchannel

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanal/libs/protocol"
	rc "kanal/libs/requestchannel"
)

// slowReaders is a Sink whose answers stay with their sockets for as long as the test wants.
type slowReaders struct {
	mu      sync.Mutex
	written []rc.Outcome
	bytes   atomic.Int64 // of answers that are not written
	resumed atomic.Int64
}

func (s *slowReaders) Deliver(_ int, batch []rc.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range batch {
		s.bytes.Add(int64(len(o.Frame)))
		s.written = append(s.written, o)
	}
}

func (s *slowReaders) Resume(int) { s.resumed.Add(1) }

// write ends the writing of one answer, if there is one.
func (s *slowReaders) write() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.written) == 0 {
		return false
	}
	at := rand.IntN(len(s.written))
	o := s.written[at]
	s.written[at] = s.written[len(s.written)-1]
	s.written = s.written[:len(s.written)-1]
	s.bytes.Add(-int64(len(o.Frame)))
	o.Pending.Done(rc.Sent, now(), 0)
	return true
}

// A thousand fetches of all they can get: what handlers may answer and what is not written never exceeds the budget
// together; heartbeats pass meanwhile.
func TestAnswersStayWithinTheBudget(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	const budget = 16 << 20
	var granted atomic.Int64 // to requests in the handler
	var beats atomic.Int64
	sink := new(slowReaders)
	newInstance(t, url, "records", func(c *rc.ServerConfig) { c.Window = 256 }, func(_ *instance, in *rc.Incoming) {
		if in.APIKey == protocol.Heartbeat {
			beats.Add(1)
			echo(nil, in)
			return
		}
		n := int64(in.Granted)
		if sum := granted.Add(n) + sink.bytes.Load(); sum > budget {
			t.Errorf("%d bytes granted and unwritten, the budget is %d", sum, budget)
		}
		time.Sleep(time.Millisecond)
		granted.Add(-n) // before it is sent: it is never counted twice here
		in.Send(rc.Answer{Append: func(b []byte) []byte { return append(b, make([]byte, n)...) }})
	})
	c := runChannel(t, url, func(c *rc.ChannelConfig) {
		c.ResponseMaxBytes, c.QueuedMaxRequests, c.RequestTimeout = budget, 5000, 2*time.Minute
	}, sink)
	origin := rc.AppendOrigin(nil, rc.Origin{FrontEnd: "fe1", ConnectionID: "c"})
	submit := func(token uint64, key protocol.APIKey) {
		call := rc.Call{Route: c.Route("records"), Token: token, Client: uint32(token), APIKey: key, APIVersion: 4, Origin: origin, Frame: []byte("x"), Received: now()}
		if !c.Submit(&call) {
			t.Error("refused")
		}
		c.Flush(0)
	}
	const fetches = 200
	for token := range uint64(fetches) {
		submit(token, protocol.Fetch)
	}
	eventually(t, "the budget is used up", func() bool { return sink.bytes.Load() > budget/2 })
	submit(fetches, protocol.Heartbeat)
	eventually(t, "a heartbeat passes the fetches that wait", func() bool { return beats.Load() == 1 })
	for deadline := time.Now().Add(time.Minute); c.InFlight() > 0 || sink.write(); {
		if !sink.write() {
			time.Sleep(100 * time.Microsecond)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d requests wait for a grant", c.InFlight())
		}
	}
}

// Long polls that wake up all at once with much to say come again, one after the other, instead of answering at once.
func TestManyLongPollsWakeUpWithinTheBudget(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	const budget, large = 16 << 20, 256 << 10
	wake := make(chan struct{})
	var parked, again atomic.Int64
	sink := new(slowReaders)
	newInstance(t, url, "records", func(c *rc.ServerConfig) { c.Window = 64 }, func(_ *instance, in *rc.Incoming) {
		select {
		case <-wake:
			again.Add(1)
		default:
			in.Park(time.Minute)
			parked.Add(1)
			<-wake
		}
		if large > int(in.Granted) {
			in.Refuse()
			return
		}
		in.Send(rc.Answer{Append: func(b []byte) []byte { return append(b, make([]byte, large)...) }})
	})
	c := runChannel(t, url, func(c *rc.ChannelConfig) {
		c.ResponseMaxBytes, c.QueuedMaxRequests, c.RequestTimeout, c.ParkedMaxBytes = budget, 5000, 2*time.Minute, 64<<20
	}, sink)
	origin := rc.AppendOrigin(nil, rc.Origin{FrontEnd: "fe1", ConnectionID: "c"})
	const polls = 400
	for token := range uint64(polls) {
		call := rc.Call{Route: c.Route("records"), Token: token, Client: uint32(token), APIKey: protocol.Fetch, APIVersion: 4, Origin: origin, Frame: []byte("x"), Received: now()}
		if !c.Submit(&call) {
			t.Fatal("refused")
		}
	}
	c.Flush(0)
	eventually(t, "all polls wait in the handler", func() bool { return parked.Load() == polls })
	close(wake)
	for deadline := time.Now().Add(time.Minute); c.InFlight() > 0 || sink.write(); {
		if n := sink.bytes.Load(); n > budget {
			t.Fatalf("%d bytes unwritten, the budget is %d", n, budget)
		}
		if !sink.write() {
			time.Sleep(100 * time.Microsecond)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d requests wait for a grant", c.InFlight())
		}
	}
	if again.Load() != polls {
		t.Errorf("%d of %d came again", again.Load(), polls)
	}
}
