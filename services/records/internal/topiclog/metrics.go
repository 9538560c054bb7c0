package topiclog

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what topic logs do. A nil *Metrics counts nothing.
type Metrics struct {
	batches, bytes, duplicates prometheus.Counter
	refusals                   prometheus.Counter
	hits, misses               prometheus.Counter
	readBytes                  prometheus.Counter
}

// NewMetrics makes the metrics on a registry, which may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	if reg == nil {
		return nil
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "kanal_records_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	return &Metrics{
		batches:    counter("appended_batches_total", "Record batches committed to topic logs."),
		bytes:      counter("appended_bytes_total", "Bytes of record batches committed to topic logs."),
		duplicates: counter("duplicate_batches_total", "Batches that idempotent producers sent again."),
		refusals:   counter("refused_batches_total", "Batches refused for their producer's sequence number or epoch."),
		hits:       counter("cache_hits_total", "Messages found in memory."),
		misses:     counter("cache_misses_total", "Messages that had to be read from their stream."),
		readBytes:  counter("stream_read_bytes_total", "Bytes read from streams."),
	}
}

func (m *Metrics) appended(batches, bytes int) {
	if m != nil {
		m.batches.Add(float64(batches))
		m.bytes.Add(float64(bytes))
	}
}

func (m *Metrics) duplicate() {
	if m != nil {
		m.duplicates.Inc()
	}
}

func (m *Metrics) refused() {
	if m != nil {
		m.refusals.Inc()
	}
}

func (m *Metrics) sought(hit bool) {
	switch {
	case m == nil:
	case hit:
		m.hits.Inc()
	default:
		m.misses.Inc()
	}
}

func (m *Metrics) read(bytes int) {
	if m != nil {
		m.readBytes.Add(float64(bytes))
	}
}
