package socketserver

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// processorCollector reads what a running processor has to tell without its loop: a loop that sleeps for a minute adds
// to no counter meanwhile.
type processorCollector struct {
	described
	mu  sync.Mutex
	all map[*Processor]*loopTimes // guarded by mu
}

// loopTimes are a loop's idle and busy time as told last. Scrapes and loops race for nanoseconds, and a counter must not
// go back.
type loopTimes struct{ begun, idle, busy int64 }

func newProcessorCollector() *processorCollector {
	return &processorCollector{described: described{idleDesc, busyDesc, responsesDesc}, all: map[*Processor]*loopTimes{}}
}

// add is called when a loop begins, remove when it ends.
func (c *processorCollector) add(p *Processor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[p] = &loopTimes{begun: Now()}
}

func (c *processorCollector) remove(p *Processor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, p)
}

var (
	processorLabels = []string{"listener", "processor"}
	idleDesc        = prometheus.NewDesc("kanal_processor_idle_seconds_total", "Time that the loop has waited for events.", processorLabels, nil)
	busyDesc        = prometheus.NewDesc("kanal_processor_busy_seconds_total", "Time that the loop was at work, or had no CPU to be.", processorLabels, nil)
	responsesDesc   = prometheus.NewDesc("kanal_processor_response_queue", "Responses that the loop has not taken up yet.", processorLabels, nil)
)

// Collect is prometheus.Collector's.
func (c *processorCollector) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, t := range c.all {
		t.read(int64(p.sel.Waited()), Now())
		labels := []string{p.listener.Name, strconv.Itoa(p.id)}
		metrics <- prometheus.MustNewConstMetric(idleDesc, prometheus.CounterValue, float64(t.idle)/1e9, labels...)
		metrics <- prometheus.MustNewConstMetric(busyDesc, prometheus.CounterValue, float64(t.busy)/1e9, labels...)
		metrics <- prometheus.MustNewConstMetric(responsesDesc, prometheus.GaugeValue, float64(p.queued()), labels...)
	}
}

func (t *loopTimes) read(idle, now int64) {
	t.idle = max(t.idle, idle)
	t.busy = max(t.busy, now-t.begun-t.idle)
}
