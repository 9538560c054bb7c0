package requestchannel

import "github.com/prometheus/client_golang/prometheus"

// ServerMetrics are the metrics of the handlers' side. A nil *ServerMetrics
// records nothing.
type ServerMetrics struct {
	taken, redelivered, refused, parked, unsentAnswers, invalidMessages prometheus.Counter
	held                                                                prometheus.Gauge
}

// NewServerMetrics registers the metrics of one service's instance.
func NewServerMetrics(reg prometheus.Registerer, service string) *ServerMetrics {
	labels := prometheus.Labels{"service": service}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kanal", Subsystem: "handler", Name: name, Help: help, ConstLabels: labels})
		reg.MustRegister(c)
		return c
	}
	m := &ServerMetrics{
		taken:           counter("requests_total", "Requests taken."),
		redelivered:     counter("requests_redelivered_total", "Requests taken that another instance may have executed."),
		refused:         counter("requests_not_taken_total", "Requests refused because they had been given to another meanwhile."),
		parked:          counter("requests_parked_total", "Long polls accepted."),
		unsentAnswers:   counter("answers_unsent_total", "Answers that NATS did not take."),
		invalidMessages: counter("messages_invalid_total", "Messages on the request subject that were no valid envelope."),
		held:            prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "kanal", Subsystem: "handler", Name: "requests_held", Help: "Requests in hand, parked ones included.", ConstLabels: labels}),
	}
	reg.MustRegister(m.held)
	return m
}

func (m *ServerMetrics) take(redelivered bool) {
	if m == nil {
		return
	}
	m.taken.Inc()
	m.held.Inc()
	if redelivered {
		m.redelivered.Inc()
	}
}

func (m *ServerMetrics) done() {
	if m != nil {
		m.held.Dec()
	}
}

func (m *ServerMetrics) refuse() {
	if m != nil {
		m.refused.Inc()
	}
}

func (m *ServerMetrics) park() {
	if m != nil {
		m.parked.Inc()
	}
}

func (m *ServerMetrics) unsent() {
	if m != nil {
		m.unsentAnswers.Inc()
	}
}

func (m *ServerMetrics) invalid() {
	if m != nil {
		m.invalidMessages.Inc()
	}
}
