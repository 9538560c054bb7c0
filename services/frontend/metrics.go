package frontend

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
)

// metrics of what only the front end knows: what it answers itself, and who sends it what is deprecated.
type metrics struct {
	reg        prometheus.Registerer
	channel    *requestchannel.ChannelMetrics
	errors     *requestchannel.ErrorCounts
	deprecated *prometheus.CounterVec

	mu    sync.Mutex
	known map[[2]string]bool // software that has labels of its own; guarded by mu
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		reg: reg, channel: requestchannel.NewChannelMetrics(reg), errors: requestchannel.NewErrorCounts(reg, "frontend"), known: map[[2]string]bool{},
		deprecated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kanal_deprecated_requests_total",
			Help: "Requests of versions that Kafka 4 has given up, by api, version and the software that the client has named.",
		}, []string{"api", "version", "software", "software_version"}),
	}
	reg.MustRegister(m.deprecated)
	return m
}

func (m *metrics) unregister() {
	m.channel.Unregister()
	m.errors.Unregister(m.reg)
	m.reg.Unregister(m.deprecated)
}

// errorNames are Kafka's names of the codes that the front end answers with.
var errorNames = map[int16]string{
	protocol.ErrorNone: "NONE", protocol.ErrorUnsupportedVersion: "UNSUPPORTED_VERSION",
	protocol.ErrorInvalidRequest: "INVALID_REQUEST", protocol.ErrorRebootstrapRequired: "REBOOTSTRAP_REQUIRED",
	protocol.ErrorIllegalSaslState: "ILLEGAL_SASL_STATE",
}

// answered counts the error code of an answer of our own (M7).
func (m *metrics) answered(key protocol.APIKey, code int16) {
	m.errors.Of(key.String(), errorNames[code]).Inc()
}

// taken counts a request of a deprecated version (DeprecatedRequestsPerSec, R7).
func (m *metrics) taken(c *socketserver.Connection, h *protocol.Header) {
	if h.Key.Deprecated(h.Version) {
		software := m.software([2]string{c.SoftwareName, c.SoftwareVersion})
		m.deprecated.WithLabelValues(h.Key.String(), strconv.Itoa(int(h.Version)), software[0], software[1]).Inc()
	}
}

// Bounds of labels that clients bring, as for the connections by software.
const (
	mostSoftware    = 100
	longestSoftware = 64
)

// software gives the labels of a client: its own for the first hundred. Unlike connections, counters stay.
func (m *metrics) software(labels [2]string) [2]string {
	if labels[0] == "" {
		labels = [2]string{"unknown", "unknown"}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[labels] {
		return labels
	}
	if len(m.known) >= mostSoftware || len(labels[0]) > longestSoftware || len(labels[1]) > longestSoftware {
		return [2]string{"other", "other"}
	}
	m.known[labels] = true
	return labels
}
