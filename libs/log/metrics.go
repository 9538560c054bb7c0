package log

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the logs of one application do. A nil *Metrics counts nothing.
type Metrics struct {
	commits     prometheus.Counter
	commitBytes prometheus.Histogram
	commitTime  prometheus.Histogram
	conflicts   prometheus.Counter
	republishes prometheus.Counter
	voids       prometheus.Counter
	recoveries  prometheus.Counter
	recovery    prometheus.Histogram
	reloads     prometheus.Counter
	checkpoints prometheus.Counter
	checkBytes  prometheus.Counter
}

// NewMetrics makes the metrics of the logs of an application (the label tells them apart where services share a process).
func NewMetrics(reg prometheus.Registerer, application string) *Metrics {
	if reg == nil {
		return nil
	}
	label := prometheus.Labels{"application": application}
	counter := func(name, help string) prometheus.Counter {
		return register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "kanal_log_" + name, Help: help, ConstLabels: label}))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kanal_log_" + name, Help: help, ConstLabels: label, Buckets: buckets}))
	}
	seconds := prometheus.ExponentialBuckets(0.0001, 2, 16)
	return &Metrics{
		commits:     counter("commits_total", "Messages committed to logs."),
		commitBytes: histogram("commit_size_bytes", "Size of committed messages.", prometheus.ExponentialBuckets(64, 4, 10)),
		commitTime:  histogram("commit_seconds", "From building a message to its commit.", seconds),
		conflicts:   counter("conflicts_total", "Messages given up because another writer's came first."),
		republishes: counter("republishes_total", "Messages published again because their outcome was unknown."),
		voids:       counter("voids_total", "Messages read whose predecessor was not the last valid one."),
		recoveries:  counter("recoveries_total", "Logs opened."),
		recovery:    histogram("recovery_seconds", "Time to read a log's state.", seconds),
		reloads:     counter("reloads_total", "Logs read anew because the records between were purged."),
		checkpoints: counter("checkpoints_total", "Checkpoints written."),
		checkBytes:  counter("checkpoint_bytes_total", "Bytes of checkpoints written."),
	}
}

// register lets two users of one registry share a metric.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		return already.ExistingCollector.(C)
	}
	if err != nil {
		panic(err) // two metrics of one name: a programmer's mistake
	}
	return c
}

func (m *Metrics) committed(bytes int, took time.Duration) {
	if m != nil {
		m.commits.Inc()
		m.commitBytes.Observe(float64(bytes))
		m.commitTime.Observe(took.Seconds())
	}
}

func (m *Metrics) recovered(took time.Duration) {
	if m != nil {
		m.recoveries.Inc()
		m.recovery.Observe(took.Seconds())
	}
}

func (m *Metrics) checkpointed(bytes int) {
	if m != nil {
		m.checkpoints.Inc()
		m.checkBytes.Add(float64(bytes))
	}
}

func (m *Metrics) conflict() {
	if m != nil {
		m.conflicts.Inc()
	}
}

func (m *Metrics) republished() {
	if m != nil {
		m.republishes.Inc()
	}
}

func (m *Metrics) void() {
	if m != nil {
		m.voids.Inc()
	}
}

func (m *Metrics) reloaded() {
	if m != nil {
		m.reloads.Inc()
	}
}
