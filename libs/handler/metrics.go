package handler

import (
	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/protocol"
)

// Metrics count what a mux answered. A nil *Metrics records nothing.
type Metrics struct {
	answers, failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, service string) *Metrics {
	vec := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "kanal", Subsystem: "handler", Name: name, Help: help,
			ConstLabels: prometheus.Labels{"service": service},
		}, []string{"api"})
		reg.MustRegister(v)
		return v
	}
	return &Metrics{
		answers:  vec("answers_total", "Requests answered with a response, by api."),
		failures: vec("failures_total", "Requests whose handler failed, which closed the connection, by api."),
	}
}

func (m *Metrics) answered(key protocol.APIKey) {
	if m != nil {
		m.answers.WithLabelValues(key.String()).Inc()
	}
}

func (m *Metrics) failed(key protocol.APIKey) {
	if m != nil {
		m.failures.WithLabelValues(key.String()).Inc()
	}
}
