package socketserver_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

// I8, I9, 5.3 #22: whatever clients send, and whatever becomes of their requests, all memory, descriptors and goroutines
// come back.
func TestNothingLeaks(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	f, b := startBank(t, 3*mib, socketserver.ListenerConfig{
		Processors: 2, MaxRequestSize: mib, FirstRequestTimeout: 150 * time.Millisecond, MaxIdle: 500 * time.Millisecond,
		WriteTimeout: 500 * time.Millisecond,
	})
	b.refuseKey(protocol.Heartbeat, network.ReasonUnsupportedAPI)
	stop := make(chan struct{})
	var handler sync.WaitGroup
	handler.Go(func() { b.serveBadly(stop) })

	var clients sync.WaitGroup
	const connectors, each = 32, 64
	for seed := range uint64(connectors) {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, 7))
			for range each {
				misbehave(t, r, f.server.Addr("TEST", 0))
			}
		})
	}
	clients.Wait()
	eventually(t, "connections end", func() bool { return f.metric(t, "kanal_connections") == 0 })
	close(stop)
	handler.Wait()
	b.wantUsed(t, 0)
	if n := len(b.account); n != 0 {
		t.Errorf("%d requests without outcome", n)
	}
	f.wantParked(t, 0)
	if n := f.metric(t, "kanal_connections_accepted_total"); n != connectors*each {
		t.Errorf("%v connections were accepted", n)
	}
	for _, reason := range []network.CloseReason{
		network.ReasonInvalidSize, network.ReasonInvalidRequest, network.ReasonUnsupportedAPI, network.ReasonFirstRequestDeadline,
		network.ReasonPeerReset, network.ReasonPeerClosed, network.ReasonHandlerClosed, network.ReasonMemoryPressure,
	} {
		if f.metric(t, "kanal_connections_closed_total", reason.String()) == 0 {
			t.Errorf("no connection was closed for %s: the test does not reach it", reason)
		}
	}
	if err := f.server.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// serveBadly gives requests every end there is, none included, and has no room now and then.
func (b *bank) serveBadly(stop chan struct{}) {
	r := rand.New(rand.NewPCG(1, 2))
	full := time.NewTicker(3 * time.Millisecond)
	defer full.Stop()
	var ends sync.WaitGroup
	defer ends.Wait()
	for {
		select {
		case <-stop:
			return
		case <-full.C:
			b.setRoom(r.IntN(40))
			for id := range 2 {
				b.processor(id).Resume()
			}
		case q := <-b.requests:
			response := socketserver.Response{Kind: socketserver.ResponseKind(r.IntN(3)), Frame: answerFrame(q.correlation, make([]byte, r.IntN(100_000)))}
			if r.IntN(3) == 0 {
				response.Throttle = time.Duration(r.IntN(20)) * time.Millisecond
			}
			wait := time.Duration(0)
			if r.IntN(5) == 0 { // it never answers: the deadline of requests ends it, if nothing else does
				wait, response = 200*time.Millisecond, socketserver.Response{Kind: socketserver.CloseConnection, Reason: network.ReasonDeadline}
			}
			ends.Go(func() {
				time.Sleep(wait)
				b.settle(account{q.processor, q.token})
				b.respond(q, response)
			})
		}
	}
}

// misbehave is one connection: some frames, valid or not, cut anywhere, and an end, orderly or not.
func misbehave(t *testing.T, r *rand.Rand, addr net.Addr) {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	var out []byte
	for range 1 + r.IntN(4) {
		out = append(out, frame(r)...)
	}
	if r.IntN(2) == 0 {
		out = out[:r.IntN(len(out)+1)]
	}
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	for len(out) > 0 && err == nil {
		n := min(1+r.IntN(200_000), len(out))
		_, err = conn.Write(out[:n])
		out = out[n:]
	}
	switch r.IntN(4) {
	case 0:
		conn.(*net.TCPConn).SetLinger(0)
	case 1:
		conn.(*net.TCPConn).CloseWrite()
		fallthrough
	case 2:
		conn.SetReadDeadline(time.Now().Add(time.Duration(r.IntN(200)) * time.Millisecond))
		for b := make([]byte, 32<<10); err == nil; {
			_, err = conn.Read(b)
		}
	}
}

func frame(r *rand.Rand) []byte {
	body := make([]byte, []int{0, 100, 3000, 70_000, 400_000, 900_000}[r.IntN(6)])
	switch r.IntN(12) {
	case 0:
		return binary.BigEndian.AppendUint32(nil, mib+1)
	case 1:
		return []byte{0xff, 0xff, 0xff, byte(r.IntN(256))}
	case 2:
		return sized(body) // zeroes for a header, or nothing
	case 3:
		return sized([]byte{0, 3, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 'x'}) // a client id beyond the end
	case 4:
		return requestFor(protocol.Heartbeat, 1, body...)
	}
	return request(r.Int32(), body...)
}
