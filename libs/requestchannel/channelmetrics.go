package requestchannel

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/protocol"
)

// ChannelMetrics are the metrics of the front end's side (RequestMetrics). Those by api appear with its first request
// (R7), with all their labels.
type ChannelMetrics struct {
	reg prometheus.Registerer

	requests      *prometheus.CounterVec   // api, version
	outcomes      *prometheus.CounterVec   // api, outcome
	stage         *prometheus.HistogramVec // api, stage
	requestBytes  *prometheus.HistogramVec // api
	responseBytes *prometheus.HistogramVec // api
	parked        prometheus.Gauge
	late          prometheus.Counter
	invalid       prometheus.Counter
	redirected    prometheus.Counter
	notTaken      prometheus.Counter
	redispatched  *prometheus.CounterVec // service, reason
	lost          *prometheus.CounterVec // service, reason
	watched       []prometheus.Collector // of Watch

	recorder Recorder
	byKey    [128]atomic.Pointer[apiMetrics] // Kafka's keys
	mu       sync.Mutex
	all      map[string]*apiMetrics // guarded by mu
}

// NewChannelMetrics registers the metrics of a front end.
func NewChannelMetrics(reg prometheus.Registerer) *ChannelMetrics {
	m := newChannelMetrics()
	m.reg = reg
	reg.MustRegister(m.collectors()...)
	return m
}

func (m *ChannelMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.outcomes, m.stage, m.requestBytes, m.responseBytes,
		m.parked, m.late, m.invalid, m.redirected, m.notTaken, m.redispatched, m.lost,
	}
}

// Unregister takes the metrics away again, at the end of the front end (R8).
func (m *ChannelMetrics) Unregister() {
	for _, c := range append(m.collectors(), m.watched...) {
		m.reg.Unregister(c)
	}
}

func newChannelMetrics() *ChannelMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kanal", Subsystem: "request_channel", Name: name, Help: help})
	}
	vec := func(subsystem, name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kanal", Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	bytes := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "kanal", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(64, 4, 11),
		}, []string{"api"})
	}
	return &ChannelMetrics{
		requests: vec("", "requests_total", "Requests that have ended, by api and version.", "api", "version"),
		outcomes: vec("", "request_outcomes_total", "Requests that have ended, by api and what became of them.", "api", "outcome"),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "kanal", Name: "request_stage_seconds",
			Help:    "Time of a request by stage: queue (waiting in the front end), transit (NATS, both ways), handle, remote (storage or members), throttle (granted, where it was), response (waiting for its processor), send, total.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 2.5, 16),
		}, []string{"api", "stage"}),
		requestBytes:  bytes("request_size_bytes", "Size of a request's body."),
		responseBytes: bytes("response_size_bytes", "Size of a response with its header."),
		parked:        prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "kanal", Name: "requests_parked", Help: "Long polls waiting in handlers."}),
		late:          counter("late_answers_total", "Answers to requests that had their outcome already."),
		invalid:       counter("invalid_answers_total", "Messages on response subjects that were no valid envelope."),
		redirected:    counter("redirected_total", "Requests redirected to the instance that holds their broker."),
		notTaken:      counter("not_taken_total", "Requests that an instance gave back."),
		redispatched:  vec("request_channel", "redispatched_total", "Requests dispatched again because their instance was lost, by service and reason.", "service", "reason"),
		lost:          vec("request_channel", "handlers_lost_total", "Handler instances lost, by service and reason.", "service", "reason"),
		all:           map[string]*apiMetrics{},
	}
}

// of finds the metrics of an api, or of a service that gets whole frames. Any goroutine may call it.
func (m *ChannelMetrics) of(service string, key protocol.APIKey) *apiMetrics {
	if key < 0 || int(key) >= len(m.byKey) {
		return m.named(service)
	}
	if a := m.byKey[key].Load(); a != nil {
		return a
	}
	a := m.named(key.String())
	m.byKey[key].Store(a)
	return a
}

func (m *ChannelMetrics) named(api string) *apiMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[api]
	if a == nil {
		a = newAPIMetrics(m, api)
		m.all[api] = a
	}
	return a
}

func (m *ChannelMetrics) each(f func(*apiMetrics)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.all {
		f(a)
	}
}

// Watch registers gauges that read c.
func (c *Channel) Watch(reg prometheus.Registerer) {
	m := c.cfg.Metrics
	m.watched = []prometheus.Collector{underWayCollector{c}, queueCollector{c}, loadCollector{c}}
	reg.MustRegister(m.watched...)
}

var queuedDesc = prometheus.NewDesc("kanal_requests_queued", "Requests that wait for a window of a handler, by the handlers' service.", []string{"service"}, nil)

// queueCollector reads the lengths of the routes' queues.
type queueCollector struct{ c *Channel }

var grantedDesc = prometheus.NewDesc("kanal_response_granted_bytes", "Bytes of the response budget that requests have: granted to those that are not answered, and of answers that are not written.", nil, nil)

func (q queueCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- queuedDesc
	descs <- grantedDesc
}

func (q queueCollector) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(grantedDesc, prometheus.GaugeValue, float64(q.c.grants.used.Load()))
	for _, r := range q.c.table.Load().routes.all() {
		if !r.privileged {
			n := r.waiting.all.requests() + r.twin.waiting.all.requests()
			metrics <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(n), r.name)
		}
	}
}
