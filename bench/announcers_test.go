package bench

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/memory"
	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// announcersOf is set for the process of the clients: the address that they attack.
const announcersOf = "KANAL_BENCH_ANNOUNCERS_OF"

func TestMain(m *testing.M) {
	if addr := os.Getenv(announcersOf); addr != "" {
		announceAll(addr)
		return
	}
	os.Exit(m.Run())
}

const (
	announcers   = 1000
	announced    = 100_000_000
	announcement = 10 * time.Second
)

// BenchmarkAnnouncers has 1,000 clients of another process announce 100 MB each, send 1 MiB of it, and dribble on. It
// prints what the server's process takes, and what small requests take meanwhile.
func BenchmarkAnnouncers(b *testing.B) {
	const limit = 256 << 20
	budget := memory.NewBudget(limit)
	s, err := socketserver.New(socketserver.Config{Budget: budget, Listeners: []socketserver.ListenerConfig{
		{Name: "ECHO", Kind: socketserver.KindFrames, Handler: "echo", Host: "127.0.0.1", FirstRequestTimeout: time.Minute},
	}}, new(socketservertest.Echo), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	addr := s.Addr("ECHO", 0).String()
	before := resident(b)
	others := exec.Command(os.Args[0])
	others.Env = append(os.Environ(), announcersOf+"="+addr)
	if err := others.Start(); err != nil {
		b.Fatal(err)
	}
	most, mostUsed, mostPartial := int64(0), int64(0), int64(0)
	took := smallRequests(b, addr, func() {
		most, mostUsed, mostPartial = max(most, resident(b)), max(mostUsed, budget.Used()), max(mostPartial, budget.Partial())
	})
	if err := others.Wait(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(before)/(1<<20), "MiB-before")
	b.ReportMetric(float64(most)/(1<<20), "MiB-most")
	b.ReportMetric(float64(mostUsed)/(1<<20), "MiB-budget-used")
	b.ReportMetric(float64(mostPartial)/(1<<20), "MiB-partial")
	b.ReportMetric(float64(len(took)), "small-requests")
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	if mostUsed > limit {
		b.Errorf("%d bytes used of %d", mostUsed, limit)
	}
}

// smallRequests sends one after the other as long as the announcers are there.
func smallRequests(b *testing.B, addr string, each func()) (took []time.Duration) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	frame := append(binary.BigEndian.AppendUint32(nil, 64), make([]byte, 64)...)
	answer := make([]byte, len(frame))
	for end := time.Now().Add(announcement); time.Now().Before(end); {
		begun := time.Now()
		if _, err := c.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		each()
		time.Sleep(time.Millisecond)
	}
	return took
}

// announceAll is the clients' process. Whoever is closed comes again.
func announceAll(addr string) {
	end := time.Now().Add(announcement)
	var all sync.WaitGroup
	for range announcers {
		all.Go(func() {
			for time.Now().Before(end) {
				announce(addr, end)
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	all.Wait()
}

func announce(addr string, end time.Time) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	_, err = c.Write(append(binary.BigEndian.AppendUint32(nil, announced), make([]byte, 1<<20)...))
	for dribble := make([]byte, 1<<10); err == nil && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		_, err = c.Write(dribble)
	}
}

// resident is the process's memory in bytes.
func resident(b *testing.B) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
