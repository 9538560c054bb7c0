package requestlog

import (
	"log/slog"
	"time"

	"kanal/libs/requestchannel"
)

// ended is a request with all that its line says.
type ended struct {
	*requestchannel.Ended
	origin      requestchannel.Origin
	client      string
	correlation int32
	hasHeader   bool
}

func describe(e *requestchannel.Ended) *ended {
	r := &ended{Ended: e, origin: e.Origin()}
	if h, ok := e.Header(); ok {
		r.client, r.correlation, r.hasHeader = string(h.ClientID), h.CorrelationID, true
	}
	return r
}

var securityProtocols = map[requestchannel.SecurityProtocol]string{
	requestchannel.Plaintext: "PLAINTEXT", requestchannel.SSL: "SSL",
	requestchannel.SASLPlaintext: "SASL_PLAINTEXT", requestchannel.SASLSSL: "SASL_SSL",
}

// attrs are the line, in Kafka's words where it has them.
func (r *ended) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 32)
	if r.APIKey >= 0 {
		attrs = append(attrs, slog.String("api", r.APIKey.String()), slog.Int("version", int(r.APIVersion)))
		if r.APIKey.Deprecated(r.APIVersion) {
			attrs = append(attrs, slog.Bool("deprecated", true))
		}
	}
	if r.hasHeader {
		attrs = append(attrs, slog.Int("correlationId", int(r.correlation)), slog.String("clientId", r.client))
	}
	attrs = append(attrs,
		slog.String("connection", r.origin.ConnectionID), slog.String("listener", r.origin.Listener),
		slog.String("securityProtocol", securityProtocols[r.Security]), slog.String("principal", r.origin.Principal),
		slog.String("clientAddress", r.origin.ClientAddress),
		slog.Group("clientInformation", "softwareName", orUnknown(r.origin.SoftwareName), "softwareVersion", orUnknown(r.origin.SoftwareVersion)),
		slog.String("outcome", r.Result.String()),
		slog.Int("requestBytes", r.RequestBytes), slog.Int("responseBytes", r.ResponseBytes),
		millis("totalTimeMs", r.Total), millis("requestQueueTimeMs", r.Queue), millis("transitTimeMs", r.Transit),
		millis("localTimeMs", r.Handle), millis("remoteTimeMs", r.Remote), millis("throttleTimeMs", r.Throttle),
		millis("responseQueueTimeMs", r.Response), millis("sendTimeMs", r.Send),
	)
	if r.Service != "" {
		attrs = append(attrs, slog.String("service", r.Service), slog.String("handler", r.Handler))
	}
	if r.Parked {
		attrs = append(attrs, slog.Bool("longPoll", true))
	}
	if r.Redelivered {
		attrs = append(attrs, slog.Bool("redelivered", true))
	}
	return attrs
}

// millis is a time as Kafka writes it: truncated to microseconds, in milliseconds (R3).
func millis(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
