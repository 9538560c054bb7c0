package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// BenchmarkFramedEcho is the pure network layer, side by side in one run: a
// frame with its size goes in and comes back. The client, the same for all,
// takes part of the same cores: ratios say more than figures.
func BenchmarkFramedEcho(b *testing.B) {
	for _, load := range []struct{ connections, window, size int }{{1, 1, 64}, {64, 1, 64}, {64, 16, 64}, {1000, 1, 64}, {64, 1, 1024}} {
		for _, peer := range []struct {
			name  string
			start func(*testing.B) string
		}{{"kanal", startKanalEcho}, {"gnet", startGnet}, {"std", startStd}} {
			b.Run(fmt.Sprintf("connections=%d/window=%d/size=%d/%s", load.connections, load.window, load.size, peer.name), func(b *testing.B) {
				echoLoad(b, peer.start(b), load.connections, load.window, load.size)
			})
		}
	}
}

// echoLoad has every connection keep a window of frames under way.
func echoLoad(b *testing.B, addr string, connections, window, size int) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(size))
	frame = append(frame, make([]byte, size)...)
	var left atomic.Int64
	var all sync.WaitGroup
	left.Store(int64(b.N))
	begin := make(chan struct{})
	for range connections {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		all.Go(func() {
			<-begin
			out, in := make([]byte, 0, window*len(frame)), make([]byte, window*len(frame))
			for {
				n := int(min(left.Add(int64(-window))+int64(window), int64(window)))
				if n <= 0 {
					return
				}
				out = out[:0]
				for range n {
					out = append(out, frame...)
				}
				if _, err := c.Write(out); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, in[:len(out)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ResetTimer()
	close(begin)
	all.Wait()
}

func startKanalEcho(b *testing.B) string {
	echo := new(socketservertest.Echo)
	s, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{{
		Name: "ECHO", Kind: socketserver.KindFrames, Handler: "echo", Host: "127.0.0.1", Processors: runtime.NumCPU(),
	}}}, echo, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		b.Fatal(err)
	}
	echo.Bind(s.Processors())
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s.Addr("ECHO", 0).String()
}

// silent drops what gnet logs: it would stand between the results.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

// gnetEcho sends back every whole frame.
type gnetEcho struct {
	gnet.BuiltinEventEngine
	started chan gnet.Engine
}

func (e *gnetEcho) OnBoot(engine gnet.Engine) gnet.Action {
	e.started <- engine
	return gnet.None
}

func (e *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Peek(-1)
	whole := 0
	for len(b)-whole >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(b[whole:]))
		if len(b)-whole < n {
			break
		}
		whole += n
	}
	if whole > 0 {
		_, _ = c.Write(b[:whole]) // an error closes the connection, which the client reports
		_, _ = c.Discard(whole)
	}
	return gnet.None
}

func startGnet(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	e := &gnetEcho{started: make(chan gnet.Engine, 1)}
	ended := make(chan error, 1)
	go func() { ended <- gnet.Run(e, "tcp://"+addr, gnet.WithMulticore(true), gnet.WithLogger(silent{})) }()
	engine := <-e.started
	b.Cleanup(func() {
		_ = engine.Stop(context.Background())
		<-ended
	})
	for deadline := time.Now().Add(5 * time.Second); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		} else if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// startStd is a goroutine per connection.
func startStd(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echoConn(c)
		}
	}()
	return l.Addr().String()
}

func echoConn(c net.Conn) {
	defer c.Close()
	buf, have := make([]byte, 64<<10), 0
	for {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		whole := 0
		for have-whole >= 4 {
			size := 4 + int(binary.BigEndian.Uint32(buf[whole:]))
			if have-whole < size {
				break
			}
			whole += size
		}
		if _, err := c.Write(buf[:whole]); err != nil {
			return
		}
		have = copy(buf, buf[whole:have])
	}
}
