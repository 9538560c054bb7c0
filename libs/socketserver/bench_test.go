package socketserver_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// BenchmarkProcessorEcho is one processor with the reactor's own client side on loopback in the same process: the pure
// layer, without NATS. Each connection keeps a number of 64-byte requests outstanding.
func BenchmarkProcessorEcho(b *testing.B) {
	for _, load := range []struct{ connections, outstanding int }{{1, 1}, {64, 1}, {64, 16}, {1000, 1}} {
		b.Run(fmt.Sprintf("connections=%d/outstanding=%d", load.connections, load.outstanding), func(b *testing.B) {
			benchmarkEcho(b, load.connections, load.outstanding, 64)
		})
	}
	b.Run("connections=64/bytes=1MiB", func(b *testing.B) { benchmarkEcho(b, 64, 1, 1<<20) })
}

func benchmarkEcho(b *testing.B, connections, outstanding, size int) {
	echo := new(socketservertest.Echo)
	server, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{
		{Name: "ECHO", Kind: socketserver.KindFrames, Handler: "echo", Host: "127.0.0.1", Processors: 1,
			MaxIdle: 10 * time.Minute, FirstRequestTimeout: 30 * time.Second, WriteTimeout: time.Minute},
	}}, echo, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	load := newLoad(b, server.Addr("ECHO", 0).(*net.TCPAddr), connections, make([]byte, size))
	defer load.sel.Close()
	b.SetBytes(2 * int64(size+4))
	load.run(connections*outstanding*2, outstanding) // buffers grow before it counts
	b.ReportAllocs()
	b.ResetTimer()
	begin, used := time.Now(), processorTime(b)
	load.run(b.N, outstanding)
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "requests/s")
	// Client and server together; steadier than the rate where others share the machine.
	b.ReportMetric(float64(processorTime(b)-used)/float64(b.N), "cpu-ns/op")
}

// load is a client on one selector.
type load struct {
	b       *testing.B
	sel     *network.Selector
	all     []*network.Channel
	payload []byte
}

func newLoad(b *testing.B, addr *net.TCPAddr, connections int, payload []byte) *load {
	sel, err := network.New(network.Config{MaxReceiveSize: len(payload), ReceivesPerPoll: 64})
	if err != nil {
		b.Fatal(err)
	}
	l := &load{b: b, sel: sel, payload: payload}
	for range connections {
		if _, err := sel.Connect(addr.AddrPort(), nil); err != nil {
			b.Fatal(err)
		}
		l.poll()
		l.all = append(l.all, sel.Connected()...)
	}
	for len(l.all) < connections {
		l.poll()
		l.all = append(l.all, sel.Connected()...)
	}
	return l
}

func (l *load) poll() {
	if err := l.sel.Poll(10 * time.Second); err != nil {
		l.b.Fatal(err)
	}
	if gone := l.sel.Disconnected(); len(gone) > 0 {
		l.b.Fatalf("%d connections lost: %v %v", len(gone), gone[0].Reason, gone[0].Err)
	}
	l.sel.CompletedSends()
}

// run sends n requests and takes n answers.
func (l *load) run(n, outstanding int) {
	sent, received := 0, 0
	for _, c := range l.all {
		for range outstanding {
			if sent < n {
				sent++
				l.sel.Send(c, network.Send{Frame: l.payload})
			}
		}
	}
	for received < n {
		l.poll()
		for _, r := range l.sel.Receives() {
			received++
			if sent < n {
				sent++
				l.sel.Send(r.Channel, network.Send{Frame: l.payload})
			}
		}
	}
}
