package socketserver

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// acceptQueues show what Kafka hides: connections that the kernel has established and nobody has accepted yet. Beyond
// the backlog it drops what comes, and clients wait a second or more until they try again. Looked at when scraped, and
// by an acceptor that was held up.
type acceptQueues struct {
	described
	mu  sync.Mutex
	all map[string]*acceptQueue // by listener; guarded by mu
}

// acceptQueue is that of one listener, whose ports have one each.
type acceptQueue struct {
	log *slog.Logger

	mu      sync.Mutex
	sockets []listening // guarded by mu; none once they are being closed
	due     int64       // of the next warning; guarded by mu
}

// warnEvery is the least time between two warnings of a full queue.
const warnEvery = time.Minute

var (
	queueDesc     = prometheus.NewDesc("kanal_accept_queue_length", "Established connections that wait to be accepted, at the listener's fullest port.", []string{"listener"}, nil)
	limitDesc     = prometheus.NewDesc("kanal_accept_queue_limit", "How many may wait at a port before the kernel drops what comes.", []string{"listener"}, nil)
	overflowsDesc = prometheus.NewDesc("kanal_accept_queue_overflows_total", "Connections that met a full accept queue, of all listening sockets in this network namespace (ListenOverflows).", nil, nil)
	dropsDesc     = prometheus.NewDesc("kanal_accept_queue_drops_total", "Connections dropped before they were accepted, for any reason, of all listening sockets in this network namespace (ListenDrops).", nil, nil)
)

func newAcceptQueues() *acceptQueues {
	return &acceptQueues{described: described{queueDesc, limitDesc, overflowsDesc, dropsDesc}, all: map[string]*acceptQueue{}}
}

// open begins to watch a listener's ports, once they listen.
func (q *acceptQueues) open(l *ListenerConfig, sockets []listening, log *slog.Logger) *acceptQueue {
	opened := &acceptQueue{log: log, sockets: sockets}
	q.mu.Lock()
	q.all[l.Name] = opened
	q.mu.Unlock()
	if _, limit := opened.read(); limit < l.Backlog {
		log.Warn("the kernel allows a shorter accept queue than configured; raise the sysctl net.core.somaxconn", "configured", l.Backlog, "allowed", limit)
	}
	return opened
}

// close ends it, before the sockets are closed.
func (q *acceptQueues) close(listener string, opened *acceptQueue) {
	q.mu.Lock()
	delete(q.all, listener)
	q.mu.Unlock()
	opened.mu.Lock()
	opened.sockets = nil
	opened.mu.Unlock()
}

// look warns of a full queue.
func (q *acceptQueue) look() (length, limit int) {
	length, limit = q.read()
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := Now(); limit > 0 && length >= limit && now >= q.due {
		q.due = now + int64(warnEvery)
		q.log.Warn("the accept queue is full: the kernel drops new connections", "waiting", length, "backlog", limit)
	}
	return length, limit
}

// read gives the longest queue of the ports. For a listening socket the kernel tells queue and backlog in fields that
// mean something else for others (tcp_get_info).
func (q *acceptQueue) read() (length, limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sockets {
		if info, err := unix.GetsockoptTCPInfo(s.fd, unix.SOL_TCP, unix.TCP_INFO); err == nil {
			length, limit = max(length, int(info.Unacked)), int(info.Sacked)
		}
	}
	return length, limit
}

// Collect is prometheus.Collector's.
func (q *acceptQueues) Collect(metrics chan<- prometheus.Metric) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for listener, opened := range q.all {
		length, limit := opened.look()
		metrics <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, float64(length), listener)
		metrics <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(limit), listener)
	}
	collectOverflows(metrics)
}

// collectOverflows leaves out what a kernel or a container does not show.
func collectOverflows(metrics chan<- prometheus.Metric) {
	self, err := procfs.Self()
	if err != nil {
		return
	}
	stat, err := self.Netstat()
	if err != nil {
		return
	}
	for desc, n := range map[*prometheus.Desc]*float64{overflowsDesc: stat.ListenOverflows, dropsDesc: stat.ListenDrops} {
		if n != nil {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, *n)
		}
	}
}
