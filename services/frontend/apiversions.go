package frontend

import (
	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
)

// ownApiVersions is the range of ApiVersions itself.
var ownApiVersions = protocol.Release()[protocol.ApiVersions]

// ownAPIs are answered by the front end itself. Kafka lists those of SASL on every listener.
var ownAPIs = []protocol.APIKey{protocol.ApiVersions, protocol.SaslHandshake, protocol.SaslAuthenticate}

// answerApiVersions answers ApiVersions in the front end: it tells what this
// cluster's handlers answer, whether one of them is there right now or not. It
// runs on the connection's loop.
func (q *requests) answerApiVersions(r *socketserver.Request, call *requestchannel.Call) {
	response := q.apiVersions(r)
	q.answerHere(r, call, response.Error, response.Append(nil, r.Header.CorrelationID, answerVersion(r.Header.Version)))
}

// answerHere delivers an answer that no handler makes, with its error code.
func (q *requests) answerHere(r *socketserver.Request, call *requestchannel.Call, code int16, frame []byte) {
	q.metrics.answered(r.Header.Key, code)
	q.fill(call, r)
	q.seats.Of(r.Conn.Processor).processor.Deliver([]socketserver.Response{{
		Token: r.Conn.Token, Sequence: r.Sequence, Kind: socketserver.Send, Frame: frame, Completer: completer{q.channel.Own(call, len(frame))},
	}})
}

// answerVersion is the version of the answer: 0 to one that we do not know, so
// that any client can read it (L6).
func answerVersion(version int16) int16 {
	if !ownApiVersions.Contains(version) {
		return 0
	}
	return version
}

func (q *requests) apiVersions(r *socketserver.Request) protocol.ApiVersionsResponse {
	if !ownApiVersions.Contains(r.Header.Version) {
		return protocol.Unsupported(ownApiVersions)
	}
	body, ok := protocol.ParseApiVersionsRequest(r.Frame[r.Header.Body:], r.Header.Version)
	if !ok || (body.ClusterID == nil) != (body.NodeID < 0) {
		return protocol.ApiVersionsResponse{Error: protocol.ErrorInvalidRequest}
	}
	if info := q.cluster(); body.ClusterID != nil && (*body.ClusterID != info.ClusterID || body.NodeID > info.Brokers) {
		return protocol.ApiVersionsResponse{Error: protocol.ErrorRebootstrapRequired} // KIP-1242: the client is somewhere else than it thinks
	}
	if body.SoftwareName != "" {
		r.Conn.SetSoftware(body.SoftwareName, body.SoftwareVersion)
		r.Conn.Tag = nil
	}
	if body.NodeID > 0 {
		r.Conn.Broker = body.NodeID // KIP-1242: the client says which broker it means
	}
	ranges := q.channel.Versions().Clone()
	for _, key := range ownAPIs {
		ranges[key] = protocol.Release()[key]
	}
	return protocol.ApiVersionsResponse{Ranges: ranges, Features: features(ranges)}
}

// features are those that clients ask for by name, where the cluster answers
// what they stand for.
func features(ranges protocol.Ranges) (out []protocol.Feature) {
	if _, ok := ranges[protocol.ConsumerGroupHeartbeat]; ok {
		out = append(out, protocol.Feature{Name: "group.version", Level: 1}) // KIP-848
	}
	if ranges[protocol.EndTxn].Max >= 5 {
		out = append(out, protocol.Feature{Name: "transaction.version", Level: 2}) // KIP-890
	}
	return out
}
