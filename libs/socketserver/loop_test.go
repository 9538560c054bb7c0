package socketserver_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

// Rows E8, E14, F8, J11, where we differ: no step waits for a timeout. Kafka's loop sleeps up to 300 ms at a time; with
// that any of the steps below would take seconds for all rounds: a new connection, a request, an answer, a request that
// came with the one before, and what is left of a client that has gone.
func TestEveryStepWakesTheLoop(t *testing.T) {
	f := start(t)
	begin := time.Now()
	const rounds = 15
	for range rounds {
		c := f.dial(t)
		c.send(requests(1, 3))
		f.answer(f.next(t))
		c.wantAnswer(1)
		c.Close()
		for range 2 {
			f.respond(f.next(t), socketserver.Response{Kind: socketserver.NoOp})
		}
	}
	if took := time.Since(begin); took > rounds*150*time.Millisecond {
		t.Errorf("%d rounds took %v", rounds, took)
	}
}

// hasty is a request channel that answers while it still submits, and keeps a diary.
type hasty struct {
	processors
	diary diary
}

// diary is what a request channel was told, in its order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, fmt.Sprintf(format, args...))
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.entries)
}

func (h *hasty) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	h.diary.note("request %d", r.Header.CorrelationID)
	response := socketserver.Response{Token: r.Conn.Token, Frame: answerFrame(r.Header.CorrelationID, nil), Completer: entry{&h.diary, r.Header.CorrelationID}}
	if r.Header.Key == protocol.Heartbeat {
		response.Kind = socketserver.CloseConnection
	}
	h.processor(r.Conn.Processor).Deliver([]socketserver.Response{response})
	return true, network.ReasonNone
}

func (h *hasty) Flush(int) {}

func (h *hasty) Disconnected(_ int, _ uint64, half bool) { h.diary.note("disconnected, half %t", half) }

type entry struct {
	diary       *diary
	correlation int32
}

func (e entry) Completed(o socketserver.Outcome, _ int64) {
	e.diary.note("outcome of %d: %s", e.correlation, o)
}

// Rows E10, E11, E13, testConnectionDisconnectListenerInvokedOnClose: an answer may be given before the request is
// even muted for, since only this loop takes it up; the outcome is told before the next request is read, and a close of
// our own is told like the peer's, once.
func TestOutcomesComeBeforeTheNextRequest(t *testing.T) {
	h := &hasty{}
	f := startWith(t, h, nil)
	c := f.dial(t)
	var want []string
	for i := int32(1); i <= 3; i++ {
		c.send(request(i))
		c.wantAnswer(i)
		want = append(want, fmt.Sprintf("request %d", i), fmt.Sprintf("outcome of %d: sent", i))
	}
	c.send(requestFor(protocol.Heartbeat, 4))
	c.wantEnd(false)
	want = append(want, "request 4", "outcome of 4: closed", "disconnected, half false")
	f.closedFor(t, network.ReasonHandlerClosed, 1)
	eventually(t, "the close is told", func() bool { return len(h.diary.read()) >= len(want) })
	if got := h.diary.read(); !slices.Equal(got, want) {
		t.Errorf("told\n%q, want\n%q", got, want)
	}
}

// Rows E1, E5, F6, processNewResponseException: what is wrong with one answer of a batch costs its connection, and the
// others are written.
func TestOneBadAnswerOfABatch(t *testing.T) {
	f := start(t)
	bad, good := f.dial(t), f.dial(t)
	bad.send(request(1))
	of := f.next(t)
	f.answer(of).want(t, socketserver.Sent)
	bad.wantAnswer(1)
	good.send(request(2))
	other := f.next(t)
	f.server.Processors()[0].Deliver([]socketserver.Response{
		{Token: of.token, Frame: answerFrame(1, nil)}, // its second
		{Token: 1 << 60, Frame: answerFrame(3, nil)},  // of nobody
		{Token: other.token, Frame: answerFrame(2, nil)},
	})
	good.wantAnswer(2)
	bad.wantEnd(false)
	f.closedFor(t, network.ReasonIllegalState, 1)
}

// Row J12: while a request is with its handler nothing more is read of its connection than came with it. The rest stays
// in the socket, and the peer is halted by TCP.
func TestPipelineOfAMutedChannelStaysInTheSocket(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{ReceiveBuffer: 16 << 10})
	c := f.dial(t)
	c.SetWriteBuffer(16 << 10)
	c.send(request(1))
	r := f.next(t)
	c.SetWriteDeadline(time.Now().Add(10 * quiet))
	piece := request(2, make([]byte, 4<<10)...)
	written := 0
	for range 10_000 {
		n, err := c.Write(piece)
		if written += n; err != nil {
			break
		}
	}
	if most := 4 << 20; written > most {
		t.Errorf("the peer could send %d bytes that nobody reads", written)
	}
	if got := f.metric(t, "kanal_processor_received_bytes_total"); got > float64(len(request(1))) {
		t.Errorf("%v bytes were read of a muted channel", got)
	}
	f.answer(r)
	c.wantAnswer(1)
	f.answer(f.next(t))
	c.wantAnswer(2)
}

// Rows C1, testListenBacklogSize: as many connections as the backlog says wait in the kernel while the acceptor does not
// accept, and no more.
func TestBacklog(t *testing.T) {
	const backlog = 9
	f := startLimited(t, socketserver.Quotas{MaxConnections: 1}, socketserver.ListenerConfig{Backlog: backlog})
	f.served(t, f.dialFrom(t, 2, "TEST"))
	f.dialFrom(t, 2, "TEST")
	eventually(t, "one is in the acceptor's hand", func() bool { return f.metric(t, "kanal_connections_accepted_total") == 2 })
	queued := 0
	for range backlog + 5 {
		if f.established(t) {
			queued++
		}
	}
	if queued != backlog+1 { // listen(2): Linux queues one more
		t.Errorf("%d connections are queued with a backlog of %d", queued, backlog)
	}
}

// Row C4: the quotas come first. What they refuse reaches no processor: it takes no turn and no connection id, and no
// handler hears of it.
func TestRefusedConnectionsReachNoProcessor(t *testing.T) {
	f := startLimited(t, socketserver.Quotas{MaxPerIP: 1}, socketserver.ListenerConfig{Processors: 2})
	f.served(t, f.dialFrom(t, 2, "TEST"))
	for range 5 { // odd: were they counted, the next would be the first processor's again
		f.dialFrom(t, 2, "TEST").wantEnd(true)
	}
	c := f.dialFrom(t, 3, "TEST")
	c.send(request(1))
	r := f.next(t)
	local, remote := c.RemoteAddr(), c.LocalAddr()
	if want := fmt.Sprintf("%s-%s-1-0", local, remote); r.conn.ID != want {
		t.Errorf("connection %s, want %s", r.conn.ID, want)
	}
	select {
	case g := <-f.gone:
		t.Errorf("told %+v", g)
	default:
	}
}

// Weaknesses of a full queue: who waits is served in turn, one request each, however much each has sent; connections
// come and go meanwhile.
func TestFullQueueIsFair(t *testing.T) {
	f := start(t)
	f.setRoom(0)
	const clients, each = 8, 20
	of := map[uint64]int{}
	for i := range clients {
		c := f.dial(t)
		c.send(requests(1, each))
		f.wantParked(t, i+1)
	}
	newcomer := f.dial(t)
	eventually(t, "the newcomer is registered", func() bool { return f.metric(t, "kanal_connections") == clients+1 })
	newcomer.Close()
	f.closedFor(t, network.ReasonPeerClosed, 1)
	f.disconnected(t)
	for n := range clients * each {
		f.setRoom(1)
		f.server.Processors()[0].Resume()
		r := f.next(t)
		of[r.token]++
		if turn := n/clients + 1; of[r.token] != turn {
			t.Fatalf("request %d is the %dth of its connection, want %d", n, of[r.token], turn)
		}
		f.respond(r, socketserver.Response{Kind: socketserver.NoOp})
		if n < clients*(each-1) {
			f.wantParked(t, clients) // its next is in the queue, behind the others
		}
	}
}
