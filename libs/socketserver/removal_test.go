package socketserver_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// C11, D17: a listener that is removed while its acceptor waits for a slot, or for a rate: the socket being admitted is
// closed and counted, and no slot or descriptor is lost.
func TestRemovalWhileTheAcceptorWaits(t *testing.T) {
	for name, quotas := range map[string]socketserver.ListenerQuotas{
		"slot": {MaxConnections: 1}, "rate": {Rate: socketserver.Rate{PerSecond: 0.01, Burst: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, socketserver.ListenerConfig{}, socketserver.ListenerConfig{Name: "FULL", Quotas: quotas})
			descriptors := openDescriptors(t)
			in, waiting := dial(t, f.server.Addr("FULL", 0)), dial(t, f.server.Addr("FULL", 0))
			eventually(t, "the second is being admitted", func() bool {
				return f.metric(t, "kanal_connections_accepted_total", "FULL") == 2 && f.metric(t, "kanal_acceptor_blocked_seconds_total", "FULL") > 0
			})
			if err := f.server.RemoveListener("FULL"); err != nil {
				t.Fatal(err)
			}
			in.wantEnd(false)
			waiting.wantEnd(true)
			f.closedFor(t, network.ReasonListenerRemoved, 2)
			if n := f.server.Counted(); n != 0 {
				t.Errorf("%d connections are counted", n)
			}
			in.Close()
			waiting.Close()
			eventually(t, "descriptors are given back", func() bool { return openDescriptors(t) < descriptors })
		})
	}
}

func startRemoving(t *testing.T, limit time.Duration) (*fixture, client, held) {
	h := newHandlers()
	f := prepareConfig(t, h, socketserver.Config{RemovalLimit: limit, Listeners: []socketserver.ListenerConfig{{}, {Name: "MORE"}}})
	f.handlers, h.server = h, f.server
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	busy := dial(t, f.server.Addr("MORE", 0))
	busy.send(request(1))
	return f, busy, f.next(t)
}

// W8: requests under way have a limited time; then their connections are closed, for the same reason.
func TestRemovalHasALimit(t *testing.T) {
	f, busy, under := startRemoving(t, quiet)
	begin := time.Now()
	if err := f.server.RemoveListener("MORE"); err != nil || time.Since(begin) > patience {
		t.Fatalf("%v after %s", err, time.Since(begin))
	}
	busy.wantEnd(false)
	f.closedFor(t, network.ReasonListenerRemoved, 1)
	f.answer(under).want(t, socketserver.Shutdown)
	f.wantProcessors(t, 1)
}

// W15: while a listener leaves, the server can be changed and closed.
func TestChangesWhileAListenerLeaves(t *testing.T) {
	f, busy, _ := startRemoving(t, time.Hour)
	addr, removed := f.server.Addr("MORE", 0), make(chan error)
	go func() { removed <- f.server.RemoveListener("MORE") }()
	eventually(t, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", addr.String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if err := f.server.RemoveListener("MORE"); !errors.Is(err, socketserver.ErrNoListener) {
		t.Error(err)
	}
	if f.server.AddListener(socketserver.ListenerConfig{Name: "MORE"}) == nil {
		t.Error("a listener with connections left came back")
	}
	f.resize(t, 3)
	if err := f.server.AddListener(socketserver.ListenerConfig{Name: "OTHER", Host: "127.0.0.1", Processors: 1}); err != nil {
		t.Error(err)
	}
	f.server.Close()
	if err := <-removed; err != nil {
		t.Error(err)
	}
	busy.wantEnd(false)
	for _, err := range []error{f.server.AddListener(socketserver.ListenerConfig{Name: "X"}), f.server.RemoveListener("TEST")} {
		if err == nil {
			t.Error("a closed server was changed")
		}
	}
}

// Before the start listeners and processors come and go as well.
func TestChangesBeforeTheStart(t *testing.T) {
	f := prepare(t)
	for range 2 {
		if err := f.server.AddListener(socketserver.ListenerConfig{Name: "MORE", Host: "127.0.0.1", Processors: 3}); err != nil {
			t.Fatal(err)
		}
		f.wantProcessors(t, 4)
		if err := f.server.RemoveListener("MORE"); err != nil {
			t.Fatal(err)
		}
		f.wantProcessors(t, 1)
	}
	f.resize(t, 4)
	f.resize(t, 2)
	f.wantProcessors(t, 2)
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range int32(4) {
		c := f.dial(t)
		c.send(request(i))
		f.answer(f.next(t))
		c.wantAnswer(i)
	}
}

// A server that drains or closes while processors retire loses no answer, and no outcome.
func TestDrainAndCloseWhileRetiring(t *testing.T) {
	for _, drained := range []bool{true, false} {
		f := start(t, socketserver.ListenerConfig{Processors: 3})
		var clients []client
		var open []held
		for i := range int32(6) {
			c := f.dial(t)
			c.send(request(i))
			clients, open = append(clients, c), append(open, f.next(t))
		}
		f.resize(t, 1)
		if drained {
			for _, r := range open {
				f.answer(r)
			}
			drain(t, f.server)
			for i, c := range clients {
				c.wantAnswer(int32(i))
				c.wantEnd(false)
			}
			continue
		}
		f.server.Close()
		for i, c := range clients {
			c.wantEnd(false)
			f.answer(open[i]).want(t, socketserver.Shutdown)
		}
	}
}

// A TLS connection moves with its state, also while it sends ahead.
func TestTLSConnectionsMove(t *testing.T) {
	e := startTLS(t, func(l *socketserver.ListenerConfig) { l.Processors = 3 })
	var clients []secure
	for range 6 {
		clients = append(clients, e.connect(t, e.client()))
	}
	for round := range int32(20) {
		for _, c := range clients {
			c.send(requests(10*round, 10*round+4))
		}
		e.resize(t, 1+int(round)%3)
		for range 5 * len(clients) {
			e.answer(e.next(t))
		}
		for _, c := range clients {
			for i := range int32(5) {
				c.wantAnswer(10*round + i)
			}
		}
	}
	e.resize(t, 1)
	e.wantProcessors(t, 1)
	if n := e.metric(t, "kanal_connections_closed_total"); n != 0 {
		t.Errorf("%v connections were closed", n)
	}
}
