package socketserver

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stopwatch adds up how long an acceptor was blocked, the time that is running included: one that waits for hours shows
// up at once (AcceptorBlockedPercent, C7).
type stopwatch struct {
	mu    sync.Mutex
	total time.Duration
	since time.Time // zero: not running
}

func (s *stopwatch) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
}

func (s *stopwatch) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += time.Since(s.since)
	s.since = time.Time{}
}

func (s *stopwatch) read() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return s.total
	}
	return s.total + time.Since(s.since)
}

// blockedTimes are the stopwatches by listener.
type blockedTimes struct {
	mu sync.Mutex
	m  map[string]*stopwatch // guarded by mu
}

var blockedDesc = prometheus.NewDesc("kanal_acceptor_blocked_seconds_total",
	"Time that the acceptor waited for a connection slot, for a rate, or for room in a processor's queue.", []string{"listener"}, nil)

// of gives a listener's stopwatch.
func (b *blockedTimes) of(listener string) *stopwatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m[listener] == nil {
		b.m[listener] = new(stopwatch)
	}
	return b.m[listener]
}

// Describe is prometheus.Collector's.
func (b *blockedTimes) Describe(descs chan<- *prometheus.Desc) { descs <- blockedDesc }

// Collect is prometheus.Collector's.
func (b *blockedTimes) Collect(metrics chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for listener, s := range b.m {
		metrics <- prometheus.MustNewConstMetric(blockedDesc, prometheus.CounterValue, s.read().Seconds(), listener)
	}
}
