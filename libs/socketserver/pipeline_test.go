package socketserver_test

import (
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// Rows G1, F5, M10: the second request does not reach a handler before the first is answered.
func TestOneRequestInFlight(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 20))
	for i := int32(1); i <= 20; i++ {
		r := f.next(t)
		if r.correlation != i {
			t.Fatalf("request %d came, want %d", r.correlation, i)
		}
		if i == 1 || i == 10 {
			f.none(t)
		}
		f.answer(r)
		c.wantAnswer(i)
	}
}

// Row F8: bytes that arrive while the channel is muted are served after the answer, whether they are in the socket or were read
// with the request before.
func TestBytesThatArriveWhileMuted(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(append(request(1), request(2)[:9]...))
	first := f.next(t)
	c.send(request(2)[9:])
	c.send(request(3))
	f.none(t)
	f.answer(first)
	f.answer(f.next(t))
	f.answer(f.next(t))
	for i := int32(1); i <= 3; i++ {
		c.wantAnswer(i)
	}
}

// Row M8: no answer is due, the next request is read.
func TestNoOp(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 3))
	for i := int32(1); i <= 2; i++ {
		o := newOutcome()
		f.respond(f.next(t), socketserver.Response{Kind: socketserver.NoOp, Completer: o})
		o.want(t, socketserver.NotDue)
	}
	f.answer(f.next(t))
	c.wantAnswer(3)
}

// Rows M5, J1: a close of ours drops what is unread, and the peer reads its end and no reset.
func TestCloseConnection(t *testing.T) {
	for _, reason := range []network.CloseReason{network.ReasonNone, network.ReasonDeadline} {
		f := start(t)
		c := f.dial(t)
		c.send(requests(1, 2))
		r := f.next(t)
		c.send(requests(3, 50)) // unread, which must not turn the close into a reset
		o := newOutcome()
		f.respond(r, socketserver.Response{Kind: socketserver.CloseConnection, Reason: reason, Completer: o})
		o.want(t, socketserver.Closed)
		c.wantEnd(false)
		f.none(t)
		f.closedFor(t, max(reason, network.ReasonHandlerClosed), 1)
	}
}

// Row F6: a second answer to one request is a fault of ours and costs the connection.
func TestSecondAnswerClosesTheConnection(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(request(1))
	r := f.next(t)
	f.answer(r).want(t, socketserver.Sent)
	f.answer(r).want(t, socketserver.ConnectionLost)
	c.wantAnswer(1)
	c.wantEnd(false)
	f.closedFor(t, network.ReasonIllegalState, 1)
	if !f.log.has("level=ERROR", "reason=illegal_state") {
		t.Error("no error was logged")
	}
}

// Rows E5, E6, G7: answers to a connection that is gone leave no trace but their outcome.
func TestAnswerToAVanishedConnection(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(request(1))
	r := f.next(t)
	c.reset()
	if g := f.disconnected(t); g.token != r.token || g.half {
		t.Fatalf("told %+v, want %d gone", g, r.token)
	}
	f.answer(r).want(t, socketserver.ConnectionLost)
	for _, kind := range []socketserver.ResponseKind{socketserver.NoOp, socketserver.CloseConnection} {
		o := newOutcome()
		f.respond(r, socketserver.Response{Kind: kind, Throttle: time.Hour, Completer: o})
		o.want(t, socketserver.ConnectionLost)
	}
	other := f.dial(t)
	other.send(request(2))
	f.answer(f.next(t))
	other.wantAnswer(2)
}

// Rows I13, I15: a reader that stops halts its own connection and no other, and the answer arrives whole.
func TestSlowReaderOfABigAnswer(t *testing.T) {
	f := start(t)
	slow, other := f.dial(t), f.dial(t)
	slow.send(requests(1, 2))
	big := make([]byte, 24<<20)
	for i := range big {
		big[i] = byte(i >> 8)
	}
	o := f.answer(f.next(t), big...)
	for i := int32(100); i < 110; i++ {
		other.send(request(i))
		r := f.next(t) // never slow's second request: its first is not written yet
		if r.correlation != i {
			t.Fatalf("request %d came", r.correlation)
		}
		f.answer(r)
		other.wantAnswer(i)
	}
	correlation, payload := slow.receive()
	if correlation != 1 || string(payload) != string(big) {
		t.Fatalf("answer %d of %d bytes is not what was given", correlation, len(payload))
	}
	o.want(t, socketserver.Sent)
	f.answer(f.next(t))
	slow.wantAnswer(2)
}

// Rows G2, Q5, Q8, Q17: the answer goes at once, or none where none is due; then the channel stays muted until the
// throttle is over, although the client sends on, and others do not wait for it.
func TestThrottle(t *testing.T) {
	for name, kind := range map[string]socketserver.ResponseKind{"answer": socketserver.Send, "no answer": socketserver.NoOp} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			c, other := f.dial(t), f.dial(t)
			c.send(requests(1, 2))
			const throttled = 80 * time.Millisecond
			o := newOutcome()
			begin := time.Now()
			f.respond(f.next(t), socketserver.Response{Kind: kind, Throttle: throttled, Frame: answerFrame(1, nil), Completer: o})
			if kind == socketserver.Send {
				c.wantAnswer(1)
				o.want(t, socketserver.Sent)
			} else {
				o.want(t, socketserver.NotDue)
			}
			if took := time.Since(begin); took >= throttled {
				t.Fatalf("the outcome took %v", took)
			}
			other.send(request(100)) // others are served meanwhile
			f.answer(f.next(t))
			other.wantAnswer(100)
			f.answer(f.next(t))
			if took := time.Since(begin); took < throttled {
				t.Errorf("the next request was read after %v, throttled for %v", took, throttled)
			}
			c.wantAnswer(2)
		})
	}
}

// Row G3: a throttle time that is over before the answer is written delays nothing more.
func TestThrottleOverBeforeTheAnswerIsWritten(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 2))
	f.respond(f.next(t), socketserver.Response{Throttle: time.Millisecond, Frame: answerFrame(1, make([]byte, 24<<20))})
	time.Sleep(quiet) // the answer cannot be written for as long as nobody reads
	f.none(t)
	c.wantAnswer(1)
	f.answer(f.next(t))
	c.wantAnswer(2)
}

// Rows G7, Q18: a throttled client may leave: it is noticed at once, and the end of its throttle finds nobody.
func TestThrottledClientLeaves(t *testing.T) {
	f := start(t)
	c, stays := f.dial(t), f.dial(t)
	c.send(requests(1, 2))
	const throttled = 50 * time.Millisecond
	begin := time.Now()
	f.respond(f.next(t), socketserver.Response{Throttle: throttled, Frame: answerFrame(1, nil)})
	c.wantAnswer(1)
	c.reset()
	f.closedFor(t, network.ReasonPeerReset, 1)
	time.Sleep(time.Until(begin.Add(2 * throttled)))
	stays.send(request(3))
	if r := f.next(t); r.correlation != 3 {
		t.Errorf("request %d of a client that is gone", r.correlation)
	}
}

// Row Q6.
func TestThrottlesEndInTheirOrder(t *testing.T) {
	f := start(t)
	order := []int32{13, 2, 19, 7, 0, 11, 5, 16, 3, 9, 18, 1, 14, 6, 12, 4, 17, 8, 15, 10}
	var batch []socketserver.Response
	for _, place := range order {
		c := f.dial(t)
		c.send(append(request(-1), request(place)...))
		batch = append(batch, socketserver.Response{Token: f.next(t).token, Frame: answerFrame(-1, nil),
			Throttle: time.Duration(20+10*place) * time.Millisecond})
	}
	f.server.Processors()[0].Deliver(batch) // all at one time
	for i := range order {
		if r := f.next(t); r.correlation != int32(i) {
			t.Fatalf("request %d came, want %d", r.correlation, i)
		}
	}
}
