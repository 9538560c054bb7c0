package requestchannel

import "github.com/prometheus/client_golang/prometheus"

// ErrorCounts counts the error codes that clients are answered with (ErrorsPerSec, M7). Every service has one, and so
// has the front end for what it answers itself.
type ErrorCounts struct{ vec *prometheus.CounterVec }

// NewErrorCounts registers the counts of one service.
func NewErrorCounts(reg prometheus.Registerer, service string) *ErrorCounts {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "kanal", Name: "request_errors_total",
		Help:        "Error codes in responses, NONE and those of topics and partitions included, by api and error.",
		ConstLabels: prometheus.Labels{"service": service},
	}, []string{"api", "error"})
	reg.MustRegister(vec)
	return &ErrorCounts{vec}
}

// Unregister takes the counts away again.
func (e *ErrorCounts) Unregister(reg prometheus.Registerer) { reg.Unregister(e.vec) }

// Of is the counter of an api's error, by Kafka's name for it.
func (e *ErrorCounts) Of(api, name string) prometheus.Counter {
	return e.vec.WithLabelValues(api, name)
}
