package handler

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// Metrics count what a mux answered.
type Metrics struct {
	answers, failures *prometheus.CounterVec
	errors            *requestchannel.ErrorCounts
}

func newMetrics(reg prometheus.Registerer, service string) *Metrics {
	vec := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "kanal", Subsystem: "handler", Name: name, Help: help,
			ConstLabels: prometheus.Labels{"service": service},
		}, []string{"api"})
		reg.MustRegister(v)
		return v
	}
	return &Metrics{
		answers:  vec("answers_total", "Requests answered with a response, by api."),
		failures: vec("failures_total", "Requests whose handler failed, which closed the connection, by api."),
		errors:   requestchannel.NewErrorCounts(reg, service),
	}
}

// apiMetrics are the metrics of one api, looked up once. A nil *apiMetrics records nothing.
type apiMetrics struct {
	api              string
	answers, failure prometheus.Counter
	none             prometheus.Counter // of the error codes
	errors           *requestchannel.ErrorCounts
	codes            *errorCodes
}

func (m *Metrics) of(key protocol.APIKey) *apiMetrics {
	api := key.String()
	return &apiMetrics{
		api: api, answers: m.answers.WithLabelValues(api), failure: m.failures.WithLabelValues(api),
		none: m.errors.Of(api, errorName(0)), errors: m.errors, codes: errorCodesOf(int16(key)),
	}
}

func (a *apiMetrics) answered(response kmsg.Response) {
	if a != nil {
		a.answers.Inc()
		a.count(response)
	}
}

// count counts each error code of a response, those of its topics and partitions too, and NONE among them (M7, R7).
func (a *apiMetrics) count(response kmsg.Response) {
	if a == nil {
		return
	}
	none := 0
	a.codes.each(response, func(code int16) {
		if code == 0 {
			none++
		} else {
			a.errors.Of(a.api, errorName(code)).Inc()
		}
	})
	if none > 0 {
		a.none.Add(float64(none))
	}
}

func (a *apiMetrics) failed() {
	if a != nil {
		a.failure.Inc()
	}
}

func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return kerr.UnknownServerError.Message
}
