package requestchannel

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/protocol"
)

// ChannelMetrics are the metrics of the front end's side (RequestMetrics).
type ChannelMetrics struct {
	requests     *prometheus.CounterVec
	outcomes     *prometheus.CounterVec
	stage        *prometheus.HistogramVec
	parked       prometheus.Gauge
	late         prometheus.Counter
	invalid      prometheus.Counter
	redirected   prometheus.Counter
	notTaken     prometheus.Counter
	redispatched *prometheus.CounterVec
	lost         *prometheus.CounterVec

	mu    sync.Mutex
	byAPI map[string]*stageMetrics
}

// stageMetrics are the metrics of one api, looked up once.
type stageMetrics struct {
	m                                                               *ChannelMetrics
	requests, sent, lost                                            prometheus.Counter
	queue, transit, handle, remote, throttle, response, send, total prometheus.Observer
}

// NewChannelMetrics registers the metrics of a front end; InFlight and queues
// are read from c when scraped.
func NewChannelMetrics(reg prometheus.Registerer) *ChannelMetrics {
	m := newChannelMetrics()
	reg.MustRegister(m.requests, m.outcomes, m.stage, m.parked, m.late, m.invalid, m.redirected, m.notTaken, m.redispatched, m.lost)
	return m
}

func newChannelMetrics() *ChannelMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kanal", Subsystem: "request_channel", Name: name, Help: help})
	}
	vec := func(subsystem, name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kanal", Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	return &ChannelMetrics{
		requests: vec("", "requests_total", "Requests put on the request channel, by api.", "api"),
		outcomes: vec("", "request_outcomes_total", "Requests by api and outcome: sent reached the socket (or had no answer to send), lost did not.", "api", "outcome"),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "kanal", Name: "request_stage_seconds",
			Help:    "Time of a request by stage: queue (waiting in the front end), transit (NATS, both ways), handle, remote (storage or members), throttle, response (waiting for its processor), send, total.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 2.5, 16),
		}, []string{"api", "stage"}),
		parked:       prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "kanal", Name: "requests_parked", Help: "Long polls waiting in handlers."}),
		late:         counter("late_answers_total", "Answers to requests that had their outcome already."),
		invalid:      counter("invalid_answers_total", "Messages on response subjects that were no valid envelope."),
		redirected:   counter("redirected_total", "Requests redirected to the instance that holds their broker."),
		notTaken:     counter("not_taken_total", "Requests that an instance gave back."),
		redispatched: vec("request_channel", "redispatched_total", "Requests dispatched again because their instance was lost, by reason.", "reason"),
		lost:         vec("request_channel", "handlers_lost_total", "Handler instances lost, by service and reason.", "service", "reason"),
		byAPI:        map[string]*stageMetrics{},
	}
}

// Watch registers gauges that read c.
func (c *Channel) Watch(reg prometheus.Registerer) {
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "kanal", Name: name, Help: help}, f))
	}
	gauge("requests_in_flight", "Requests without an outcome, queued and parked ones included.", func() float64 { return float64(c.inside.Load()) })
	gauge("requests_held_bytes", "Frames held until their outcome, parked ones apart.", func() float64 { return float64(c.held.Load()) })
	gauge("requests_queued", "Requests that wait for a window.", func() (n float64) {
		for _, r := range c.table.Load().routes.all() {
			n += float64(r.queued.Load())
		}
		return n
	})
}

// stages finds the metrics of an api, or of a service that routes whole frames.
func (m *ChannelMetrics) stages(r *Route, key protocol.APIKey) *stageMetrics {
	api := r.service
	if key >= 0 {
		api = key.String()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.byAPI[api]
	if s == nil {
		stage := func(name string) prometheus.Observer { return m.stage.WithLabelValues(api, name) }
		s = &stageMetrics{
			m: m, requests: m.requests.WithLabelValues(api),
			sent: m.outcomes.WithLabelValues(api, "sent"), lost: m.outcomes.WithLabelValues(api, "lost"),
			queue: stage("queue"), transit: stage("transit"), handle: stage("handle"), remote: stage("remote"),
			throttle: stage("throttle"), response: stage("response"), send: stage("send"), total: stage("total"),
		}
		m.byAPI[api] = s
	}
	s.requests.Inc()
	return s
}

// handled records what the handler's answer tells of its own time.
func (s *stageMetrics) handled(p *Pending, r *Response) {
	handler := r.Queue + r.Local + r.Remote
	s.queue.Observe(seconds(p.dispatched - p.received))
	s.transit.Observe(max(0, seconds(p.arrived-p.dispatched-int64(handler))))
	s.handle.Observe((r.Queue + r.Local).Seconds())
	s.remote.Observe(r.Remote.Seconds())
	if r.Throttle > 0 {
		s.throttle.Observe(r.Throttle.Seconds())
	}
}

// done is the one place where a request ends (R4, V18).
func (s *stageMetrics) done(p *Pending, sent bool, now, send int64) {
	if !sent {
		s.lost.Inc()
		return
	}
	s.sent.Inc()
	s.response.Observe(max(0, seconds(now-p.arrived-send)))
	s.send.Observe(seconds(send))
	s.total.Observe(seconds(now - p.received))
}

func seconds(nanos int64) float64 { return float64(nanos) / 1e9 }
