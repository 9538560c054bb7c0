package socketserver_test

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// Rows E7, E12, J10, D13: after thousands of connections that ended at any moment and in any way, every count is exact:
// each connection accepted is closed once, for one reason, and told once; each request taken has one outcome; nothing is
// parked, open or counted any more.
func TestCountersAreExactAfterRandomDisconnects(t *testing.T) {
	const clients, connections = 6, 400
	s := newShuffler(9)
	f := prepareConfig(t, s, socketserver.Config{
		Listeners: []socketserver.ListenerConfig{{Processors: 3, MaxIdle: short, FirstRequestTimeout: short, WriteTimeout: short}},
		Quotas:    socketserver.Quotas{MaxConnections: 1000},
	})
	s.server = f.server
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var answering, storm sync.WaitGroup
	for range 2 {
		answering.Go(func() { s.answer(stop) })
	}
	for i := range uint64(clients) {
		storm.Go(func() {
			chance := rand.New(rand.NewPCG(9, i+1))
			for range connections {
				visit(t, f.server.Addr("TEST", 0), chance)
			}
		})
	}
	storm.Wait()
	eventually(t, "all are closed and answered", func() bool {
		return f.metric(t, "kanal_connections") == 0 && s.open() == 0
	})
	close(stop)
	answering.Wait()
	f.server.Drain(t.Context())
	accepted, closed := f.metric(t, "kanal_connections_accepted_total"), f.metric(t, "kanal_connections_closed_total")
	if accepted != clients*connections || closed != accepted {
		t.Errorf("%v accepted, %v closed, want %d", accepted, closed, clients*connections)
	}
	for _, reason := range []network.CloseReason{network.ReasonPeerClosed, network.ReasonPeerReset, network.ReasonHandlerClosed,
		network.ReasonInvalidSize, network.ReasonInvalidRequest, network.ReasonFirstRequestDeadline, network.ReasonIdleExpired} {
		if f.metric(t, "kanal_connections_closed_total", reason.String()) < 10 {
			t.Errorf("hardly any close for %v: the storm is too mild", reason)
		}
	}
	if parked := f.metric(t, "kanal_processor_parked_receives"); parked != 0 {
		t.Errorf("%v receives are parked", parked)
	}
	s.check(t, int(accepted))
}

// open is how many connections were told of and are not gone, and requests that have no answer yet.
func (s *shuffler) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.waiting)
	for _, gone := range s.gone {
		if !gone {
			n++
		}
	}
	return n
}

func (s *shuffler) check(t *testing.T, connections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fault := range s.faults {
		t.Error(fault)
	}
	told := 0
	for _, n := range s.outcomes {
		told += n
	}
	if told != s.taken || len(s.gone) != connections {
		t.Errorf("%d outcomes of %d requests, %d connections told as gone of %d", told, s.taken, len(s.gone), connections)
	}
}

// visit makes a connection and leaves it in some state, in some way.
func visit(t *testing.T, addr net.Addr, chance *rand.Rand) {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	var stream []byte
	for i := range int32(chance.IntN(5)) {
		body := binary.BigEndian.AppendUint32([]byte{"aaantc"[chance.IntN(6)]}, uint32(1<<chance.IntN(22)))
		stream = append(stream, request(i, append(body, make([]byte, chance.IntN(1<<chance.IntN(16)))...)...)...)
	}
	switch chance.IntN(4) {
	case 0:
		stream = stream[:chance.IntN(len(stream)+1)]
	case 1:
		stream = append(stream, 0xff, 0xff, 0xff, 0xff)
	case 2:
		stream = append(stream, 0, 0, 0, 1, 7)
	}
	c.Write(stream) // which the server may cut short
	leave(c, chance)
}

func leave(c *net.TCPConn, chance *rand.Rand) {
	switch chance.IntN(5) {
	case 0:
		c.SetLinger(0)
	case 1:
		c.CloseWrite()
		io.CopyN(io.Discard, c, int64(chance.IntN(1000)))
	case 2:
		io.Copy(io.Discard, c) // until the server closes
	case 3:
		c.SetReadDeadline(time.Now().Add(time.Duration(chance.IntN(20)) * time.Millisecond))
		io.Copy(io.Discard, c)
	}
}
