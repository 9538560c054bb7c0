package requestchannel

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// underWay are the requests of one api that have no outcome yet, the longest waiting first. The dispatcher owns the
// list; the numbers are for whoever asks, so that a scrape does not disturb it.
type underWay struct {
	oldest, newest *Pending

	count atomic.Int64
	since atomic.Int64 // when the oldest was received; meaningless without one
}

// add puts p in its place, which is nearly always the end.
func (u *underWay) add(p *Pending) {
	before := u.newest
	for before != nil && before.received > p.received {
		before = before.older
	}
	p.older = before
	if before == nil {
		p.newer, u.oldest = u.oldest, p
		u.since.Store(p.received)
	} else {
		p.newer, before.newer = before.newer, p
	}
	if p.newer == nil {
		u.newest = p
	} else {
		p.newer.older = p
	}
	u.count.Add(1)
}

func (u *underWay) remove(p *Pending) {
	if p.newer == nil {
		u.newest = p.older
	} else {
		p.newer.older = p.older
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else if u.oldest = p.newer; u.oldest != nil {
		u.since.Store(u.oldest.received)
	}
	p.older, p.newer = nil, nil
	u.count.Add(-1)
}

var (
	underWayDesc = prometheus.NewDesc("kanal_requests_in_flight",
		"Requests that have no outcome yet, by api; those that wait and long polls included.", []string{"api"}, nil)
	oldestDesc = prometheus.NewDesc("kanal_request_oldest_age_seconds",
		"Age of the oldest request that has no outcome yet, by api; 0 without one.", []string{"api"}, nil)
)

// underWayCollector tells of requests that completions do not tell of: those that are stuck.
type underWayCollector struct{ c *Channel }

func (u underWayCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- underWayDesc
	descs <- oldestDesc
}

func (u underWayCollector) Collect(metrics chan<- prometheus.Metric) {
	now := u.c.cfg.Now()
	u.c.cfg.Metrics.each(func(a *apiMetrics) {
		count, age := a.underWay.count.Load(), 0.0
		if count > 0 {
			age = atLeast0(now - a.underWay.since.Load()).Seconds()
		}
		metrics <- prometheus.MustNewConstMetric(underWayDesc, prometheus.GaugeValue, float64(count), a.api)
		metrics <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, age, a.api)
	})
}
