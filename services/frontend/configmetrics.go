package frontend

import (
	"github.com/prometheus/client_golang/prometheus"
)

// configMetrics tell which broker configs a front end runs with.
type configMetrics struct {
	seen, applied prometheus.Gauge
	failures      *prometheus.CounterVec
	reg           prometheus.Registerer
}

// Kinds of failures.
const (
	refused   = "refused"   // nothing was changed
	unapplied = "unapplied" // a step failed; it is tried again
)

// newConfigMetrics makes the metrics, on a registry if there is one.
func newConfigMetrics(reg prometheus.Registerer) *configMetrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "kanal", Subsystem: "config", Name: name, Help: help}
	}
	m := &configMetrics{
		reg:      reg,
		seen:     prometheus.NewGauge(prometheus.GaugeOpts(opts("seen_revision", "Newest revision of the cluster's broker configs that this front end knows."))),
		applied:  prometheus.NewGauge(prometheus.GaugeOpts(opts("applied_revision", "Revision of the broker configs that this front end runs with."))),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts(opts("failures_total", "Broker configs that were refused, or not applied as a whole.")), []string{"kind"}),
	}
	for _, kind := range []string{refused, unapplied} {
		m.failures.WithLabelValues(kind)
	}
	if reg != nil {
		reg.MustRegister(m.seen, m.applied, m.failures)
	}
	return m
}

func (m *configMetrics) unregister() {
	if m.reg != nil {
		m.reg.Unregister(m.seen)
		m.reg.Unregister(m.applied)
		m.reg.Unregister(m.failures)
	}
}
