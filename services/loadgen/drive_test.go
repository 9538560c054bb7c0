package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echoServer is the reactor with an echo behind it.
func echoServer(t *testing.T) string {
	t.Helper()
	handler := new(socketservertest.Echo)
	server, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{
		{Name: "ECHO", Kind: socketserver.KindFrames, Handler: "echo", Host: "127.0.0.1", Processors: 2},
	}}, handler, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server.Addr("ECHO", 0).String()
}

func framesConfig(addr string) Config {
	cfg := Defaults()
	cfg.Mode, cfg.Addr, cfg.Duration, cfg.Connections = ModeFrames, addr, 200*time.Millisecond, 8
	return cfg
}

func TestFrames(t *testing.T) {
	addr := echoServer(t)
	for name, change := range map[string]func(*Config){
		"one":                  func(c *Config) { c.Connections = 1 },
		"one byte":             func(c *Config) { c.Size, c.Window = 1, 7 },
		"pipelined":            func(c *Config) { c.Window = 16 },
		"large":                func(c *Config) { c.Size = 1 << 20 },
		"large and pipelined":  func(c *Config) { c.Size, c.Window, c.Connections = 300_000, 8, 3 },
		"more than one worker": func(c *Config) { c.Connections = 301 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := framesConfig(addr)
			change(&cfg)
			r, err := Drive(t.Context(), cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors != 0 || r.Requests < uint64(cfg.Connections*cfg.Window) {
				t.Fatalf("got %+v", r)
			}
			if l := r.Latency; l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Max > 1e6*r.Seconds*1.01 {
				t.Errorf("latency %+v", l)
			}
			// What went out came back: one frame of so many bytes per request.
			bytes := float64(r.Requests) * float64(cfg.Size+sizeBytes) / 1e6 / r.Seconds
			if diff := r.ReceivedMBPerSecond/bytes - 1; diff > 0.01 || diff < -0.01 {
				t.Errorf("%f MB/s in, want %f", r.ReceivedMBPerSecond, bytes)
			}
		})
	}
}

// badServer answers connections with a function of the stream.
func badServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// frame reads one frame of 100 bytes and its size.
func frame(c net.Conn) ([]byte, error) {
	b := make([]byte, sizeBytes+100)
	_, err := io.ReadFull(c, b)
	return b, err
}

func TestWrongAnswersAreNoticed(t *testing.T) {
	addr := badServer(t, func(c net.Conn) {
		for n := 0; ; n++ {
			b, err := frame(c)
			if err != nil {
				return
			}
			b[len(b)-1] ^= byte(n % 2) // every second one
			c.Write(b)
		}
	})
	cfg := framesConfig(addr)
	cfg.Connections = 1
	r, err := Drive(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failures[errDiffers.Error()] != r.Errors || r.Errors == 0 || r.Requests < r.Errors || r.Requests > r.Errors+1 {
		t.Errorf("got %+v", r)
	}
	if !errors.Is(r.failure(), ErrFailures) {
		t.Error("the run counts as a success")
	}
}

// A frame that is swapped for another is noticed, not only one that is damaged.
func TestSwappedAnswersAreNoticed(t *testing.T) {
	addr := badServer(t, func(c net.Conn) {
		for {
			a, _ := frame(c)
			b, err := frame(c)
			if err != nil {
				return
			}
			c.Write(append(b, a...))
		}
	})
	cfg := framesConfig(addr)
	cfg.Connections, cfg.Window = 1, 2
	r, err := Drive(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 0 || r.Failures[errDiffers.Error()] == 0 {
		t.Errorf("got %+v", r)
	}
}

// A lost connection costs what was outstanding, and the load goes on.
func TestReconnects(t *testing.T) {
	var connections atomic.Int32
	addr := badServer(t, func(c net.Conn) {
		connections.Add(1)
		for range 3 {
			b, err := frame(c)
			if err != nil {
				return
			}
			c.Write(b)
		}
		frame(c)
	})
	cfg := framesConfig(addr)
	cfg.Connections, cfg.Duration = 1, 500*time.Millisecond
	r, err := Drive(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := uint64(connections.Load()); n < 2 || r.Requests > 3*n || r.Requests < 3*(n-1) || r.Errors < n-1 || r.Errors > n {
		t.Errorf("%d connections, %+v", n, r)
	}
}

// An answer that nobody asked for ends the connection.
func TestUnasked(t *testing.T) {
	addr := badServer(t, func(c net.Conn) {
		b, err := frame(c)
		if err == nil {
			c.Write(append(b, b...))
			io.Copy(io.Discard, c)
		}
	})
	cfg := framesConfig(addr)
	cfg.Connections = 1
	r, err := Drive(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The second of the two answers may come late enough to pass for the answer
	// to the next request, which it differs from.
	if noticed := r.Failures["connection lost: illegal_state"] + r.Failures[errDiffers.Error()]; r.Requests == 0 || noticed == 0 {
		t.Errorf("got %+v", r)
	}
}

// A server that never answers cannot hold the run, and all is told.
func TestNoAnswer(t *testing.T) {
	addr := badServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	cfg := framesConfig(addr)
	cfg.Connections, cfg.Window = 1, 3
	r, err := Drive(t.Context(), cfg, nil)
	if err != nil || r.Errors != 3 || r.Failures["no answer in time"] != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestContextEndsARun(t *testing.T) {
	cfg := framesConfig(echoServer(t))
	cfg.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var seen atomic.Int32
	r, err := Drive(ctx, cfg, func(p Progress) {
		if p.Requests == 0 || p.Errors != 0 || !strings.Contains(p.String(), "requests/s") {
			t.Errorf("progress %+v", p)
		}
		seen.Add(1)
		cancel()
	})
	if err != nil || r.Errors != 0 || r.Requests == 0 || seen.Load() == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, mode := range []string{"frames", "apiversions"} {
		err := Run(t.Context(), []string{"-addr", addr, "-mode", mode}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestRun(t *testing.T) {
	addr := echoServer(t)
	var out, progress bytes.Buffer
	args := []string{"-addr", addr, "-mode", "frames", "-connections", "3", "-duration", "1100ms", "-size", "10"}
	if err := Run(t.Context(), append(args, "-json"), &out, &progress); err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Requests == 0 || r.Connections != 3 || r.Latency.P999 == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if lines := strings.Count(progress.String(), "\n"); lines != 1 {
		t.Errorf("%d lines of progress: %s", lines, progress.String())
	}
}
