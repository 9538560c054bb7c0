package socketserver_test

import (
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// Rows J4, J6 and M8: an acks=0 producer sends 10 requests and closes; all 10 are processed, one at a time.
func TestGracefulCloseServesWhatWasSent(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 10))
	c.Close()
	for i := int32(1); i <= 10; i++ {
		r := f.next(t)
		if r.correlation != i {
			t.Fatalf("request %d came, want %d", r.correlation, i)
		}
		if i == 5 {
			f.none(t)
		}
		f.respond(r, socketserver.Response{Kind: socketserver.NoOp})
	}
	f.closedFor(t, network.ReasonPeerClosed, 1)
}

// The same with a peer that only shut down its writing half and reads on: it gets every answer, then the end.
func TestHalfCloseIsAnswered(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 10))
	c.CloseWrite()
	for i := int32(1); i <= 10; i++ {
		f.answer(f.next(t))
		c.wantAnswer(i)
	}
	c.wantEnd(false)
	f.closedFor(t, network.ReasonPeerClosed, 1)
}

// Design section 3: a half close is noticed while the channel is muted, told once and before the full close, and what is
// in flight is still answered.
func TestHalfCloseIsToldWhileMuted(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(request(1))
	r := f.next(t)
	c.CloseWrite()
	if g := f.disconnected(t); g != (gone{r.token, true}) {
		t.Fatalf("told %+v", g)
	}
	f.answer(r).want(t, socketserver.Sent)
	c.wantAnswer(1)
	c.wantEnd(false)
	if g := f.disconnected(t); g != (gone{r.token, false}) {
		t.Fatalf("told %+v", g)
	}
	f.closedFor(t, network.ReasonPeerClosed, 1)
}

// A reset is noticed while the channel is muted, and ends everything at once (J7), without a warning (F11).
func TestResetIsToldWhileMuted(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 3))
	r := f.next(t)
	c.reset()
	if g := f.disconnected(t); g != (gone{r.token, false}) {
		t.Fatalf("told %+v", g)
	}
	f.closedFor(t, network.ReasonPeerReset, 1)
	f.answer(r).want(t, socketserver.ConnectionLost)
	f.none(t)
	if f.log.has("level=WARN") {
		t.Error("a reset is no warning")
	}
}

// Rows J3, J5: half a frame and FIN: what is complete is served, the rest is not waited for.
func TestHalfFrameIsDropped(t *testing.T) {
	for name, complete := range map[string]int32{"alone": 0, "after three complete ones": 3} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			c := f.dial(t)
			half := request(99)
			c.send(append(requests(1, complete), half[:len(half)-1]...))
			c.CloseWrite()
			for i := int32(1); i <= complete; i++ {
				f.answer(f.next(t))
				c.wantAnswer(i)
			}
			c.wantEnd(false)
			f.closedFor(t, network.ReasonPeerClosed, 1)
			f.none(t)
		})
	}
}

// An idle client that closes or resets leaves nothing behind (E12).
func TestIdleClose(t *testing.T) {
	f := start(t)
	polite, rude := f.dial(t), f.dial(t)
	eventually(t, "both are connected", func() bool { return f.metric(t, "kanal_connections", "TEST") == 2 })
	polite.Close()
	rude.reset()
	f.closedFor(t, network.ReasonPeerClosed, 1)
	f.closedFor(t, network.ReasonPeerReset, 1)
	for range 2 {
		if g := f.disconnected(t); g.half {
			t.Error("a half close was told of a closed connection")
		}
	}
	if got := f.metric(t, "kanal_connections", "TEST"); got != 0 {
		t.Errorf("%v connections are left", got)
	}
}

// Rows J7, J8, F7 and KAFKA-6529: the peer goes away while its answer is being written.
func TestPeerLeavesWhileItsAnswerIsWritten(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 2))
	o := f.answer(f.next(t), make([]byte, 24<<20)...)
	c.SetReadDeadline(time.Now().Add(patience))
	c.Read(make([]byte, 100))
	c.Close() // with answers unread: a reset
	o.want(t, socketserver.ConnectionLost)
	f.closedFor(t, network.ReasonPeerReset, 1)
	f.none(t)
}

// A half-closed peer with a large answer under way still gets all of it.
func TestHalfCloseWithALargeAnswerUnderWay(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(request(1))
	o := f.answer(f.next(t), make([]byte, 24<<20)...)
	c.CloseWrite()
	if g := f.disconnected(t); !g.half {
		t.Fatal("the full close came first")
	}
	c.wantAnswer(1)
	o.want(t, socketserver.Sent)
	c.wantEnd(false)
}

// A connection that breaks the protocol in its second request still gets the answer to its first.
func TestReasonsOfSeveralConnections(t *testing.T) {
	f := start(t)
	for range 10 {
		c := f.dial(t)
		c.send(append(request(1), 0xff, 0xff, 0xff, 0xff))
		f.answer(f.next(t))
		c.wantAnswer(1)
		c.wantEnd(false)
	}
	f.closedFor(t, network.ReasonInvalidSize, 10)
	if got := f.metric(t, "kanal_connections_accepted_total"); got != 10 {
		t.Errorf("%v connections accepted", got)
	}
}
