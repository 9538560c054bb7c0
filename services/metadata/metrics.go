package metadata

import (
	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/cluster"
	"kanal/services/metadata/internal/topics"
)

// metrics are read when they are asked for, from the registry and the counts
// that topics keeps anyway.
type metrics struct {
	reg      *cluster.Registry
	counters *topics.Counters

	topics, partitions, brokers, created, deleted, orphans *prometheus.Desc
}

// register adds the service's metrics to a registry; nil for none.
func register(to prometheus.Registerer, reg *cluster.Registry, counters *topics.Counters) {
	if to == nil {
		return
	}
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName("kanal", "metadata", name), help, nil, nil)
	}
	to.MustRegister(&metrics{
		reg: reg, counters: counters,
		topics:     desc("topics", "Topics of the cluster."),
		partitions: desc("partitions", "Partitions of all topics of the cluster."),
		brokers:    desc("brokers", "Brokers that clients see."),
		created:    desc("created_topics_total", "Topics made by this instance."),
		deleted:    desc("deleted_topics_total", "Topics deleted by this instance."),
		orphans:    desc("removed_streams_total", "Streams without a topic that this instance's janitor removed."),
	})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.topics, m.partitions, m.brokers, m.created, m.deleted, m.orphans} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	all := m.reg.Topics()
	partitions := 0
	for _, t := range all {
		partitions += int(t.Partitions)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge(m.topics, float64(len(all)))
	gauge(m.partitions, float64(partitions))
	gauge(m.brokers, float64(m.reg.Info().Brokers))
	count(m.created, m.counters.Created.Load())
	count(m.deleted, m.counters.Deleted.Load())
	count(m.orphans, m.counters.Orphans.Load())
}
