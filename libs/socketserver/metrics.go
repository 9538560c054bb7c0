package socketserver

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/network"
)

// metrics of a server; they count without a registry as well.
type metrics struct {
	connections *prometheus.GaugeVec   // listener
	accepted    *prometheus.CounterVec // listener
	closed      *prometheus.CounterVec // listener, reason
	acceptErrs  *prometheus.CounterVec // listener
	blocked     blockedTimes           // listener
	held        *prometheus.GaugeVec   // listener
	received    *prometheus.CounterVec // processor
	sent        *prometheus.CounterVec // processor
	requests    *prometheus.CounterVec // processor
	parked      *prometheus.GaugeVec   // processor
}

func newMetrics() *metrics {
	m := &metrics{
		connections: gauge("kanal_connections", "Open connections.", "listener"),
		accepted:    counter("kanal_connections_accepted_total", "Connections accepted.", "listener"),
		closed:      counter("kanal_connections_closed_total", "Connections closed.", "listener", "reason"),
		acceptErrs:  counter("kanal_acceptor_errors_total", "Accepts that failed.", "listener"),
		blocked:     blockedTimes{},
		held:        gauge("kanal_connections_held", "Refused connections that are kept open for a while.", "listener"),
		received:    counter("kanal_processor_received_bytes_total", "Bytes read from clients.", "processor"),
		sent:        counter("kanal_processor_sent_bytes_total", "Bytes written to clients.", "processor"),
		requests:    counter("kanal_processor_requests_total", "Requests received.", "processor"),
		parked:      gauge("kanal_processor_parked_receives", "Requests that wait for room in the request channel.", "processor"),
	}
	return m
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.connections, m.accepted, m.closed, m.acceptErrs, m.blocked, m.held, m.received, m.sent, m.requests, m.parked,
	}
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	var errs []error
	for _, c := range m.all() {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all() {
		reg.Unregister(c)
	}
}

// listenerMetrics are those of one listener, with every label there from the start.
type listenerMetrics struct {
	connections, held    prometheus.Gauge
	accepted, acceptErrs prometheus.Counter
	blocked              *stopwatch
	closed               map[network.CloseReason]prometheus.Counter
}

func (m *metrics) ofListener(name string) *listenerMetrics {
	l := &listenerMetrics{
		connections: m.connections.WithLabelValues(name), accepted: m.accepted.WithLabelValues(name),
		acceptErrs: m.acceptErrs.WithLabelValues(name), blocked: m.blocked.of(name), held: m.held.WithLabelValues(name),
		closed: map[network.CloseReason]prometheus.Counter{},
	}
	for _, r := range network.Reasons() {
		l.closed[r] = m.closed.WithLabelValues(name, r.String())
	}
	return l
}

// processorMetrics are those of one processor; the loop counts for itself and adds once per pass.
type processorMetrics struct {
	received, sent, requests prometheus.Counter
	parked                   prometheus.Gauge
	told                     network.Stats
	toldParked               int
}

func (m *metrics) ofProcessor(id int) processorMetrics {
	label := strconv.Itoa(id)
	return processorMetrics{
		received: m.received.WithLabelValues(label), sent: m.sent.WithLabelValues(label),
		requests: m.requests.WithLabelValues(label), parked: m.parked.WithLabelValues(label),
	}
}

func (m *processorMetrics) tell(s network.Stats, parked int) {
	if s != m.told {
		m.received.Add(float64(s.ReceivedBytes - m.told.ReceivedBytes))
		m.sent.Add(float64(s.SentBytes - m.told.SentBytes))
		m.requests.Add(float64(s.Receives - m.told.Receives))
		m.told = s
	}
	if parked != m.toldParked {
		m.parked.Set(float64(parked))
		m.toldParked = parked
	}
}
