package requestchannel

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func loadDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("kanal_request_channel_"+name, help, []string{"service", "handler"}, nil)
}

var (
	outstandingDesc  = loadDesc("outstanding", "Requests that an instance has of this front end, within its window.")
	windowDesc       = loadDesc("window", "How many of them it may have: this front end's share of its window; 0 while it gets nothing new.")
	parkedDesc       = loadDesc("parked", "Long polls that an instance has of this front end.")
	oldestParkedDesc = loadDesc("oldest_parked_age_seconds", "Age of the oldest of them; 0 without one.")
)

// loadCollector tells what each living instance has. It asks the dispatcher, so
// that requests need not count for it; of one that does not run there is nothing
// to tell.
type loadCollector struct{ c *Channel }

// loadTimeout bounds how long a scrape waits for the dispatcher.
const loadTimeout = time.Second

func (l loadCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{outstandingDesc, windowDesc, parkedDesc, oldestParkedDesc} {
		descs <- desc
	}
}

func (l loadCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	load, err := l.c.Load(ctx)
	if err != nil {
		return
	}
	for _, h := range load.Handlers {
		window := h.Window
		if h.State != StateReady {
			window = 0
		}
		gauge := func(desc *prometheus.Desc, v float64) {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, h.Service, h.ID)
		}
		gauge(outstandingDesc, float64(h.Outstanding))
		gauge(windowDesc, float64(window))
		gauge(parkedDesc, float64(h.Parked))
		gauge(oldestParkedDesc, h.OldestParkedSeconds)
	}
}
