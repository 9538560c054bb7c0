package socketserver

import (
	"errors"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/network"
)

// metrics of a server; they count without a registry as well.
type metrics struct {
	connections *prometheus.GaugeVec   // listener, security_protocol
	accepted    *prometheus.CounterVec // listener
	closed      *prometheus.CounterVec // listener, reason
	acceptErrs  *prometheus.CounterVec // listener
	throttled   *prometheus.CounterVec // listener, quota
	handshakes  *prometheus.CounterVec // listener
	loads       *prometheus.CounterVec // listener, result
	underWay    []prometheus.Collector
	expiry      *prometheus.GaugeVec   // listener
	encrypted   *population            // protocol, cipher
	blocked     *blockedTimes          // listener
	held        *prometheus.GaugeVec   // listener
	clients     *population            // software, software_version
	polls       *prometheus.CounterVec // listener, processor
	reads       *prometheus.CounterVec // listener, processor
	writes      *prometheus.CounterVec // listener, processor
	received    *prometheus.CounterVec // listener, processor
	sent        *prometheus.CounterVec // listener, processor
	requests    *prometheus.CounterVec // listener, processor
	responses   *prometheus.CounterVec // listener, processor
	parked      *prometheus.GaugeVec   // listener, processor
	processors  *processorCollector
	queues      *acceptQueues
	logins      loginVecs
}

func newMetrics(h *network.Handshakes) *metrics {
	ofProcessor := func(name, help string) *prometheus.CounterVec { return counter(name, help, "listener", "processor") }
	return &metrics{
		connections: gauge("kanal_connections", "Open connections.", "listener", "security_protocol"),
		accepted:    counter("kanal_connections_accepted_total", "Connections accepted.", "listener"),
		closed:      counter("kanal_connections_closed_total", "Connections closed.", "listener", "reason"),
		acceptErrs:  counter("kanal_acceptor_errors_total", "Accepts that failed.", "listener"),
		throttled:   counter("kanal_acceptor_throttled_seconds_total", "Time that connections were made to wait for a rate: the listener's or the server's (quota listener), or their address's (quota ip).", "listener", "quota"),
		handshakes:  counter("kanal_tls_handshakes_total", "TLS handshakes completed.", "listener"),
		underWay:    handshakeGauges(h),
		loads:       counter("kanal_tls_certificate_loads_total", "Attempts to load changed certificates.", "listener", "result"),
		expiry:      gauge("kanal_tls_certificate_expiry_timestamp_seconds", "When the listener's certificate expires.", "listener"),
		encrypted:   newPopulation("kanal_tls_connections", "Open connections by TLS protocol and cipher.", "protocol", "cipher"),
		blocked:     &blockedTimes{m: map[string]*stopwatch{}},
		held:        gauge("kanal_connections_held", "Refused connections that are kept open for a while.", "listener"),
		clients:     newPopulation("kanal_client_connections", "Open connections by the software that the client has named.", "software", "software_version"),
		polls:       ofProcessor("kanal_processor_polls_total", "Passes of the loop: how often it looked for events."),
		reads:       ofProcessor("kanal_processor_reads_total", "Reads from sockets."),
		writes:      ofProcessor("kanal_processor_writes_total", "Writes to sockets."),
		received:    ofProcessor("kanal_processor_received_bytes_total", "Bytes read from clients."),
		sent:        ofProcessor("kanal_processor_sent_bytes_total", "Bytes written to clients."),
		requests:    ofProcessor("kanal_processor_requests_total", "Requests received."),
		responses:   ofProcessor("kanal_processor_responses_total", "Responses whose last byte is with the socket."),
		parked:      gauge("kanal_processor_parked_receives", "Requests that wait for room in the request channel.", "listener", "processor"),
		processors:  newProcessorCollector(),
		queues:      newAcceptQueues(),
		logins:      newLoginVecs(),
	}
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *metrics) all() []prometheus.Collector {
	return append(slices.Concat(m.logins.all(), m.underWay),
		m.connections, m.accepted, m.closed, m.acceptErrs, m.throttled, m.blocked, m.held, m.clients,
		m.handshakes, m.loads, m.expiry, m.encrypted, m.queues,
		m.polls, m.reads, m.writes, m.received, m.sent, m.requests, m.responses, m.parked, m.processors)
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
	connections, held      prometheus.Gauge
	accepted, acceptErrs   prometheus.Counter
	throttled, ipThrottled prometheus.Counter
	blocked                *stopwatch
	closed                 map[network.CloseReason]prometheus.Counter
	logins                 loginMetrics
}

func (m *metrics) ofListener(l *ListenerConfig) *listenerMetrics {
	lm := &listenerMetrics{
		connections: m.connections.WithLabelValues(l.Name, l.SecurityProtocol), accepted: m.accepted.WithLabelValues(l.Name),
		acceptErrs: m.acceptErrs.WithLabelValues(l.Name), blocked: m.blocked.of(l.Name), held: m.held.WithLabelValues(l.Name),
		throttled: m.throttled.WithLabelValues(l.Name, "listener"), ipThrottled: m.throttled.WithLabelValues(l.Name, "ip"),
		closed: map[network.CloseReason]prometheus.Counter{}, logins: m.logins.ofListener(l.Name),
	}
	for _, r := range network.Reasons() {
		lm.closed[r] = m.closed.WithLabelValues(l.Name, r.String())
	}
	return lm
}

// forgetListener ends the gauges of a listener; its counters stay, as what has happened.
func (m *metrics) forgetListener(name string) {
	m.connections.DeletePartialMatch(prometheus.Labels{"listener": name})
	m.held.DeleteLabelValues(name)
	m.expiry.DeleteLabelValues(name)
	m.expiry.DeleteLabelValues(name)
}

// forgetProcessor ends all that is told of a processor (W9).
func (m *metrics) forgetProcessor(listener string, id int) {
	for _, v := range []*prometheus.CounterVec{m.polls, m.reads, m.writes, m.received, m.sent, m.requests, m.responses} {
		v.DeleteLabelValues(listener, strconv.Itoa(id))
	}
	m.parked.DeleteLabelValues(listener, strconv.Itoa(id))
}

// processorMetrics are those of one processor; the loop counts for itself and adds once per pass.
type processorMetrics struct {
	polls, reads, writes, received, sent, requests, responses prometheus.Counter
	parked                                                    prometheus.Gauge
	told                                                      network.Stats
	toldParked                                                int
}

func (m *metrics) ofProcessor(listener string, id int) processorMetrics {
	of := func(v *prometheus.CounterVec) prometheus.Counter {
		return v.WithLabelValues(listener, strconv.Itoa(id))
	}
	return processorMetrics{
		polls: of(m.polls), reads: of(m.reads), writes: of(m.writes), received: of(m.received), sent: of(m.sent),
		requests: of(m.requests), responses: of(m.responses), parked: m.parked.WithLabelValues(listener, strconv.Itoa(id)),
	}
}

func (m *processorMetrics) tell(s network.Stats, parked int) {
	add(m.polls, s.Polls, m.told.Polls)
	add(m.reads, s.Reads, m.told.Reads)
	add(m.writes, s.Writes, m.told.Writes)
	add(m.received, s.ReceivedBytes, m.told.ReceivedBytes)
	add(m.sent, s.SentBytes, m.told.SentBytes)
	add(m.requests, s.Receives, m.told.Receives)
	add(m.responses, s.Sends, m.told.Sends)
	m.told = s
	if parked != m.toldParked {
		m.parked.Set(float64(parked))
		m.toldParked = parked
	}
}

func add(c prometheus.Counter, now, told uint64) {
	if now != told {
		c.Add(float64(now - told))
	}
}
