package session

import "github.com/prometheus/client_golang/prometheus"

// Register puts the cache's metrics on a registry.
func (c *Cache) Register(reg prometheus.Registerer) {
	gauge := func(name, help string, value func(sessions, partitions, evictions int) int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kanal_records_" + name, Help: help}, func() float64 { return float64(value(c.Counts())) }))
	}
	gauge("fetch_sessions", "Fetch sessions kept.", func(s, _, _ int) int { return s })
	gauge("fetch_session_partitions", "Partitions of all fetch sessions kept.", func(_, p, _ int) int { return p })
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kanal_records_fetch_session_evictions_total", Help: "Fetch sessions that gave way to others."},
		func() float64 { _, _, n := c.Counts(); return float64(n) }))
}
