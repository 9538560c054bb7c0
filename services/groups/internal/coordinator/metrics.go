package coordinator

import "github.com/prometheus/client_golang/prometheus"

// Metrics of all coordinators of a process. A nil Metrics counts nothing.
type Metrics struct {
	groups                                             prometheus.Gauge
	stores, commits, offsets, reloads, loads, failures prometheus.Counter
}

// NewMetrics registers the metrics; nil for no registry.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	if reg == nil {
		return nil
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kanal", Subsystem: "groups", Name: name, Help: help})
	}
	m := &Metrics{
		groups:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "kanal", Subsystem: "groups", Name: "groups", Help: "Groups in memory."}),
		stores:   counter("stored_groups_total", "Group states committed: ends of rebalances, returned static members."),
		commits:  counter("commits_total", "Offset commits that were stored."),
		offsets:  counter("committed_offsets_total", "Offsets in those commits."),
		reloads:  counter("reloads_total", "Times that another writer's message had a log's groups derived anew."),
		loads:    counter("opened_logs_total", "Coordination logs opened."),
		failures: counter("log_failures_total", "Coordination logs that could not be opened or broke."),
	}
	reg.MustRegister(m.groups, m.stores, m.commits, m.offsets, m.reloads, m.loads, m.failures)
	return m
}

func (m *Metrics) hold(n int) {
	if m != nil {
		m.groups.Add(float64(n))
	}
}

func (m *Metrics) stored() {
	if m != nil {
		m.stores.Inc()
	}
}

func (m *Metrics) committed(offsets int) {
	if m != nil {
		m.commits.Inc()
		m.offsets.Add(float64(offsets))
	}
}

func (m *Metrics) reloaded() {
	if m != nil {
		m.reloads.Inc()
	}
}

// Opened counts a log that was opened.
func (m *Metrics) Opened() {
	if m != nil {
		m.loads.Inc()
	}
}

// Failed counts a log that could not be opened or broke.
func (m *Metrics) Failed() {
	if m != nil {
		m.failures.Inc()
	}
}
