package requestchannel

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// apiMetrics are the metrics of one api, looked up once.
type apiMetrics struct {
	m        *ChannelMetrics
	api      string
	versions [32]atomic.Pointer[prometheus.Counter]
	results  [results]prometheus.Counter
	underWay underWay
	parked   int   // the dispatcher's
	answers  int64 // what they have had lately, in bytes; the dispatcher's

	queue, transit, handle, remote, throttle, response, send, total prometheus.Observer
	requestBytes, responseBytes                                     prometheus.Observer
}

func newAPIMetrics(m *ChannelMetrics, api string) *apiMetrics {
	stage := func(name string) prometheus.Observer { return m.stage.WithLabelValues(api, name) }
	a := &apiMetrics{
		m: m, api: api,
		queue: stage("queue"), transit: stage("transit"), handle: stage("handle"), remote: stage("remote"),
		throttle: stage("throttle"), response: stage("response"), send: stage("send"), total: stage("total"),
		requestBytes: m.requestBytes.WithLabelValues(api), responseBytes: m.responseBytes.WithLabelValues(api),
	}
	for r := range results {
		a.results[r] = m.outcomes.WithLabelValues(api, r.String())
	}
	return a
}

// version is the counter of a version; those that Kafka does not have share one, which nothing reaches.
func (a *apiMetrics) version(v int16) prometheus.Counter {
	at := min(uint(uint16(v)), uint(len(a.versions)-1))
	if c := a.versions[at].Load(); c != nil {
		return *c
	}
	c := a.m.requests.WithLabelValues(a.api, strconv.Itoa(int(at)))
	a.versions[at].Store(&c)
	return c
}

// done is the one place where a request is counted, exactly once, at its end (R4, V18).
func (a *apiMetrics) done(p *Pending, result Result, t *Times) {
	a.version(p.APIVersion).Inc()
	a.results[result].Inc()
	a.requestBytes.Observe(float64(p.size - p.body))
	a.queue.Observe(t.Queue.Seconds())
	a.total.Observe(t.Total.Seconds())
	if !p.answered {
		return // by nobody: the other stages were not reached
	}
	a.transit.Observe(t.Transit.Seconds())
	a.handle.Observe(t.Handle.Seconds())
	a.remote.Observe(t.Remote.Seconds())
	if t.Throttle > 0 {
		a.throttle.Observe(t.Throttle.Seconds())
	}
	a.response.Observe(t.Response.Seconds())
	if result == Sent {
		a.send.Observe(t.Send.Seconds())
		a.responseBytes.Observe(float64(p.responseSize))
	}
}

// Times are how long a request took by stage (R2); none is negative (R3).
type Times struct {
	Queue    time.Duration // in the front end, until it was given to the handler that answered
	Transit  time.Duration // NATS, both ways
	Handle   time.Duration // in the handler, Remote apart (LocalTime)
	Remote   time.Duration // in the handler, waiting for storage or members
	Throttle time.Duration // granted, and no part of Total
	Response time.Duration // from the answer's arrival until its processor took it up
	Send     time.Duration // until the last byte was with the socket
	Total    time.Duration // from the request's last byte to the end
}

// times are p's at its end.
func (p *Pending) times(now, send int64) Times {
	dispatched := p.dispatched
	switch {
	case dispatched == 0 && p.answered:
		dispatched = p.arrived // by one that had it before it was queued again
	case dispatched == 0:
		dispatched = now
	}
	t := Times{Queue: atLeast0(dispatched - p.received), Total: atLeast0(now - p.received)}
	if !p.answered {
		return t
	}
	t.Handle, t.Remote, t.Throttle, t.Send = p.local, p.remote, p.throttle, atLeast0(send)
	t.Transit = atLeast0(p.arrived - dispatched - int64(p.local+p.remote))
	t.Response = atLeast0(now - send - p.arrived)
	return t
}

func atLeast0(nanos int64) time.Duration { return time.Duration(max(nanos, 0)) }

// answer notes what the handler tells of its own time. Its queue is the way to a goroutine of its pool and counts as
// handling.
func (p *Pending) answer(r *Response) {
	p.answered = true
	p.local, p.remote, p.throttle = r.Queue+r.Local, r.Remote, r.Throttle
	if p.instance != nil && r.Attempt == p.Attempt {
		p.handler = p.instance.id
	}
}
