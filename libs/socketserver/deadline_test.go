package socketserver_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// short is a deadline that a test waits for; long one that never comes in a test.
const (
	short = 50 * time.Millisecond
	long  = time.Hour
)

// Rows K1, K2, J9: an idle connection is closed after its time and not before, its slot and its place in the gauge are
// given back, and nothing is logged: it is normal life.
func TestIdleConnectionIsClosed(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{MaxIdle: short, FirstRequestTimeout: long, WriteTimeout: long})
	begin := time.Now()
	c := f.dial(t)
	c.send(request(1))
	f.answer(f.next(t))
	c.wantAnswer(1)
	c.wantEnd(false)
	if idle := time.Since(begin); idle < short {
		t.Errorf("closed after %v", idle)
	}
	f.closedFor(t, network.ReasonIdleExpired, 1)
	if g := f.disconnected(t); g.half {
		t.Error("a half close was told")
	}
	eventually(t, "the gauge falls", func() bool { return f.metric(t, "kanal_connections", "TEST") == 0 })
	if f.log.has("level=INFO") || f.log.has("level=WARN") {
		t.Error("idleness was logged")
	}
}

// Row K1: a negative time disables, as 0 does here.
func TestIdleExpiryCanBeDisabled(t *testing.T) {
	for _, off := range []time.Duration{0, -1} {
		f := start(t, socketserver.ListenerConfig{MaxIdle: off, FirstRequestTimeout: off, WriteTimeout: off})
		c := f.dial(t)
		time.Sleep(quiet)
		c.send(request(1))
		f.answer(f.next(t))
		c.wantAnswer(1)
	}
}

// Row K2: what arrives keeps a connection alive, far beyond the idle time, complete or not.
func TestTrafficKeepsAlive(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{MaxIdle: 4 * short})
	c, dribbling, silent := f.dial(t), f.dial(t), f.dial(t)
	whole := request(100, make([]byte, 1<<20)...)
	for i := int32(0); f.metric(t, "kanal_connections_closed_total", "idle_expired") == 0; i++ {
		c.send(request(i))
		f.answer(f.next(t))
		c.wantAnswer(i)
		dribbling.send(whole[:8])
		whole = whole[8:]
	}
	silent.wantEnd(false)
	dribbling.send(whole)
	f.answer(f.next(t))
	dribbling.wantAnswer(100)
	c.send(request(99))
	f.answer(f.next(t))
	c.wantAnswer(99)
}

// Row K4, where we differ: a request that takes longer than the idle time gets its answer, be it with a handler or
// waiting for room in the request channel; so does what is queued behind it. Only then the idle time begins.
func TestRequestUnderWayIsNotIdle(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{MaxIdle: short})
	polling, throttled, parked, witness := f.dial(t), f.dial(t), f.dial(t), f.dial(t)
	polling.send(requests(1, 2))
	held := f.next(t)
	throttled.send(request(10))
	f.respond(f.next(t), socketserver.Response{Throttle: 8 * short, Frame: answerFrame(10, nil)})
	throttled.wantAnswer(10)
	f.setRoom(0)
	parked.send(request(20))
	f.wantParked(t, 1)
	witness.wantEnd(false)
	for range 3 { // the idle time passes again and again
		f.dial(t).wantEnd(false)
	}
	f.closedFor(t, network.ReasonIdleExpired, 4)
	f.setRoom(10)
	f.server.Processors()[0].Resume()
	f.answer(f.next(t)).want(t, socketserver.Sent)
	parked.wantAnswer(20)
	f.answer(held).want(t, socketserver.Sent)
	polling.wantAnswer(1)
	f.answer(f.next(t)).want(t, socketserver.Sent)
	polling.wantAnswer(2)
	answered := time.Now()
	polling.wantEnd(false)
	if idle := time.Since(answered); idle < short-10*time.Millisecond {
		t.Errorf("closed %v after its answer", idle)
	}
	throttled.wantEnd(false)
	f.closedFor(t, network.ReasonIdleExpired, 7)
}

// Weakness 18: a connection that never gets its first request across holds its slot for seconds, not for the idle time.
// One that dribbles does not get round it, and one that has had a request is left alone.
func TestFirstRequestDeadline(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{FirstRequestTimeout: 4 * short, MaxIdle: long})
	begin := time.Now()
	served := f.dial(t)
	served.send(request(1))
	f.answer(f.next(t))
	served.wantAnswer(1)
	silent, dribbling := f.dial(t), f.dial(t)
	whole := sized(make([]byte, 1<<20))
	for gone := false; !gone; {
		_, err := dribbling.Write(whole[:1])
		whole = whole[1:]
		gone = err != nil
		time.Sleep(time.Millisecond) // it dribbles
	}
	if lasted := time.Since(begin); lasted < 4*short {
		t.Errorf("closed after %v", lasted)
	}
	silent.wantEnd(true)
	f.closedFor(t, network.ReasonFirstRequestDeadline, 2)
	if !f.log.has("level=INFO", "reason=first_request_deadline", "client=127.0.0.1") {
		t.Error("it was not logged")
	}
	served.send(request(2))
	f.answer(f.next(t))
	served.wantAnswer(2)
}

// A peer that takes nothing of its answers is reset after the write deadline; meanwhile at most one answer is kept for it,
// whatever it has asked for (the output bound: pipelinedBytes and the answer on top).
func TestWriteDeadline(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{WriteTimeout: 4 * short, MaxIdle: long, FirstRequestTimeout: long})
	c := f.dial(t)
	c.send(requests(1, 100))
	begin := time.Now()
	o := f.answer(f.next(t), make([]byte, 24<<20)...)
	f.none(t)
	o.want(t, socketserver.ConnectionLost)
	if lasted := time.Since(begin); lasted < 4*short {
		t.Errorf("closed after %v", lasted)
	}
	f.closedFor(t, network.ReasonWriteDeadline, 1)
	f.none(t)
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%v, want a reset: the kernel must not keep what nobody takes", err)
	}
}

// A slow reader that goes on taking bytes gets all of its answer, however long that takes, and though its socket does not
// turn writable within the deadline.
func TestSlowReaderWithProgressIsServed(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{WriteTimeout: 8 * short, MaxIdle: short})
	c := f.dial(t)
	c.send(request(1))
	const size = 24 << 20
	o := f.answer(f.next(t), make([]byte, size)...)
	stuck := f.dial(t)
	stuck.send(request(2))
	lost := f.answer(f.next(t), make([]byte, 24<<20)...)
	// The reader is slow until the other, which began later, is given up.
	read, b := 0, make([]byte, 16<<10)
	for f.metric(t, "kanal_connections_closed_total", "write_deadline") == 0 {
		n, err := c.Read(b)
		if read += n; err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // it is slow
	}
	lost.want(t, socketserver.ConnectionLost)
	rest, err := io.CopyN(io.Discard, c, 4+4+size-int64(read))
	if err != nil {
		t.Fatalf("%v after %d bytes", err, int64(read)+rest)
	}
	o.want(t, socketserver.Sent)
}
