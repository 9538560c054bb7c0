package socketserver

import "github.com/prometheus/client_golang/prometheus"

// loginVecs are the metrics of authentications by listener.
type loginVecs struct {
	authentications   *prometheus.CounterVec // listener, outcome
	reauthentications *prometheus.CounterVec // listener, outcome
	withoutReauth     *prometheus.CounterVec // listener
	reauthSeconds     *prometheus.HistogramVec
}

func newLoginVecs() loginVecs {
	return loginVecs{
		authentications: counter("kanal_authentications_total",
			"First authentications of connections (successful-authentication-total, failed-authentication-total).", "listener", "outcome"),
		reauthentications: counter("kanal_reauthentications_total",
			"Re-authentications (successful-reauthentication-total, failed-reauthentication-total).", "listener", "outcome"),
		withoutReauth: counter("kanal_authentications_without_reauthentication_total",
			"Authentications of clients that cannot re-authenticate (successful-authentication-no-reauth-total).", "listener"),
		reauthSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kanal_reauthentication_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
			Help: "Time that successful re-authentications took (reauthentication-latency-avg, -max).",
		}, []string{"listener"}),
	}
}

func (v *loginVecs) all() []prometheus.Collector {
	return []prometheus.Collector{v.authentications, v.reauthentications, v.withoutReauth, v.reauthSeconds}
}

// outcomes count what succeeded and what failed.
type outcomes struct{ successful, failed prometheus.Counter }

func outcomesOf(v *prometheus.CounterVec, listener string) outcomes {
	return outcomes{v.WithLabelValues(listener, "successful"), v.WithLabelValues(listener, "failed")}
}

// loginMetrics are those of one listener.
type loginMetrics struct {
	first, again  outcomes
	withoutReauth prometheus.Counter
	reauthSeconds prometheus.Observer
}

func (v *loginVecs) ofListener(name string) loginMetrics {
	return loginMetrics{
		first: outcomesOf(v.authentications, name), again: outcomesOf(v.reauthentications, name),
		withoutReauth: v.withoutReauth.WithLabelValues(name), reauthSeconds: v.reauthSeconds.WithLabelValues(name),
	}
}

// succeeded counts a re-authentication apart from first ones (N18).
func (m *loginMetrics) succeeded(step *AuthenticationStep) {
	if step.Again {
		m.again.successful.Inc()
		m.reauthSeconds.Observe(step.Latency.Seconds())
		return
	}
	m.first.successful.Inc()
	if !step.KnowsLifetime {
		m.withoutReauth.Inc()
	}
}

func (m *loginMetrics) failed(step *AuthenticationStep) {
	if step.Again {
		m.again.failed.Inc()
		return
	}
	m.first.failed.Inc()
}
