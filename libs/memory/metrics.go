package memory

import "github.com/prometheus/client_golang/prometheus"

// Collectors are the budget's metrics, read when scraped; Kafka's names are in their help.
func (b *Budget) Collectors() []prometheus.Collector {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "kanal", Subsystem: "memory", Name: name, Help: help}
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)), f)
	}
	return []prometheus.Collector{
		gauge("budget_bytes", "Bytes that requests in flight may have; this less kanal_memory_used_bytes is Kafka's MemoryPoolAvailable.",
			func() float64 { return float64(b.Limit()) }),
		gauge("used_bytes", "Bytes of requests in flight: partial, complete and waiting, and held until their outcome (Kafka's MemoryPoolUsed).",
			func() float64 { return float64(b.Used()) }),
		gauge("partial_bytes", "Of these, bytes of requests that are not complete; they may have half.",
			func() float64 { return float64(b.Partial()) }),
		gauge("waiting", "Processors that wait to read on, and large requests that wait for a buffer.",
			func() float64 { return float64(b.Waiting()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts(opts("depleted_seconds_total",
			"Time in which somebody waited for memory (Kafka's MemoryPoolDepletedTimeTotal; its rate is MemoryPoolAvgDepletedPercent).")),
			func() float64 { return b.Depleted().Seconds() }),
	}
}
