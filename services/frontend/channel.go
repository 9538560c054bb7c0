package frontend

import (
	"kanal/libs/cluster"
	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/libs/sasl"
	"kanal/libs/socketserver"
)

// requests connects the reactor to the request channel: it is what processors
// submit to, and the sink of what handlers answered. ApiVersions, and SASL out of
// place, are answered right here.
type requests struct {
	frontEnd string
	channel  *requestchannel.Channel
	cluster  func() cluster.Info
	metrics  *metrics
	seats    socketserver.PerProcessor[seat]
}

// Submit implements socketserver.RequestChannel.
func (q *requests) Submit(r *socketserver.Request) (ok bool, reason network.CloseReason) {
	call := &q.seats.Of(r.Conn.Processor).call
	call.APIKey, call.Route = r.Header.Key, nil
	switch {
	case r.Conn.Kind == socketserver.KindFrames:
		call.APIKey, call.Route = -1, q.channel.Route(r.Conn.Handler)
	case r.Header.Key == protocol.ApiVersions:
		q.answerApiVersions(r, call)
		return true, network.ReasonNone
	case r.Header.Key == protocol.SaslHandshake || r.Header.Key == protocol.SaslAuthenticate:
		return q.answerIllegalState(r, call)
	default:
		if reason := q.gate(r, call); reason != network.ReasonNone {
			return false, reason
		}
	}
	q.fill(call, r)
	if !q.channel.Submit(call) {
		return false, network.ReasonNone
	}
	if call.APIKey >= 0 {
		q.metrics.taken(r.Conn, &r.Header)
	}
	return true, network.ReasonNone
}

// answerIllegalState answers what belongs into an authentication where there is
// none to be made (N19).
func (q *requests) answerIllegalState(r *socketserver.Request, call *requestchannel.Call) (ok bool, reason network.CloseReason) {
	frame := sasl.IllegalStateAnswer(&r.Header)
	if frame == nil {
		return false, network.ReasonUnsupportedVersion
	}
	q.answerHere(r, call, protocol.ErrorIllegalSaslState, frame)
	return true, network.ReasonNone
}

// fill makes a call of a request, but for where it goes.
func (q *requests) fill(call *requestchannel.Call, r *socketserver.Request) {
	c := r.Conn
	call.APIVersion, call.Processor, call.Token, call.Broker = r.Header.Version, c.Processor, c.Token, c.Broker
	call.Privileged, call.Origin, call.Received, call.Client = c.Privileged, q.origin(c), r.Received, r.Client
	call.Sequence = r.Sequence
	call.Frame, call.Body, call.SecurityProtocol = r.Frame, r.Header.Body, securityProtocol(c.SecurityProtocol)
}

func securityProtocol(name string) requestchannel.SecurityProtocol {
	switch name {
	case "SSL":
		return requestchannel.SSL
	case "SASL_PLAINTEXT":
		return requestchannel.SASLPlaintext
	case "SASL_SSL":
		return requestchannel.SASLSSL
	}
	return requestchannel.Plaintext
}

// gate is the api gate (L3): only what clients were told is let through.
func (q *requests) gate(r *socketserver.Request, call *requestchannel.Call) network.CloseReason {
	if call.Route = q.channel.RouteOf(r.Header.Key); call.Route == nil {
		return network.ReasonUnsupportedAPI
	}
	if !q.channel.Versions()[r.Header.Key].Contains(r.Header.Version) {
		return network.ReasonUnsupportedVersion
	}
	return network.ReasonNone
}

// origin is the encoded origin of a connection, made on its first request and
// again when it has named its software.
func (q *requests) origin(c *socketserver.Connection) []byte {
	if c.Tag == nil {
		c.Tag = requestchannel.AppendOrigin(nil, requestchannel.Origin{
			FrontEnd: q.frontEnd, ConnectionID: c.ID, Listener: c.Listener, Principal: c.Principal,
			ClientAddress: c.ClientAddress, SoftwareName: c.SoftwareName, SoftwareVersion: c.SoftwareVersion,
		})
	}
	return c.Tag
}

// Flush implements socketserver.RequestChannel.
func (q *requests) Flush(processor int) { q.channel.Flush(processor) }

// Disconnected implements socketserver.RequestChannel.
func (q *requests) Disconnected(processor int, token uint64, half bool) {
	q.channel.Disconnected(processor, token, half)
}

// Deliver implements requestchannel.Sink.
func (q *requests) Deliver(processor int, outcomes []requestchannel.Outcome) {
	seat := q.seats.Of(processor)
	if seat == nil {
		lost(outcomes)
		return
	}
	rs := seat.responses[:0]
	for i := range outcomes {
		o := &outcomes[i]
		rs = append(rs, socketserver.Response{
			Token: o.Token, Sequence: o.Sequence, Kind: kinds[o.Kind], Reason: reasons[o.Reason], Throttle: o.Throttle, Frame: o.Frame,
			Completer: completer{o.Pending},
		})
	}
	seat.processor.Deliver(rs)
	clear(rs)
	seat.responses = rs
}

// lost ends outcomes whose processor is gone, as the processor itself would.
func lost(outcomes []requestchannel.Outcome) {
	for _, o := range outcomes {
		completer{o.Pending}.Completed(socketserver.Shutdown, 0)
	}
}

// Resume implements requestchannel.Sink.
func (q *requests) Resume(processor int) {
	if seat := q.seats.Of(processor); seat != nil {
		seat.processor.Resume()
	}
}

var kinds = map[requestchannel.ResponseKind]socketserver.ResponseKind{
	requestchannel.Send:            socketserver.Send,
	requestchannel.NoOp:            socketserver.NoOp,
	requestchannel.CloseConnection: socketserver.CloseConnection,
}

var reasons = map[requestchannel.CloseReason]network.CloseReason{
	requestchannel.ClosedByHandler:  network.ReasonHandlerClosed,
	requestchannel.ClosedByDeadline: network.ReasonDeadline,
	requestchannel.ClosedFrameLetGo: network.ReasonFrameLetGo,
}

var results = [...]requestchannel.Result{
	socketserver.Sent:           requestchannel.Sent,
	socketserver.NotDue:         requestchannel.NotDue,
	socketserver.Closed:         requestchannel.Closed,
	socketserver.ConnectionLost: requestchannel.ConnectionLost,
	socketserver.Shutdown:       requestchannel.Shutdown,
}

// completer tells a pending request what became of its outcome.
type completer struct{ p *requestchannel.Pending }

// Completed implements socketserver.Completer.
func (c completer) Completed(outcome socketserver.Outcome, sendNanos int64) {
	c.p.Done(results[outcome], socketserver.Now(), sendNanos)
}
