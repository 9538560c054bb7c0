package socketserver_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

// Rows L10, L12, simpleRequest, testSessionPrincipal.
func TestRequestAndAnswer(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Privileged: true})
	c := f.dial(t)
	before := socketserver.Now()
	c.send(request(7, 'b', 'o', 'd', 'y'))
	r := f.next(t)
	if r.correlation != 7 || !bytes.HasSuffix(r.frame, []byte("testbody")) || r.received < before || r.received > socketserver.Now() {
		t.Fatalf("request %+v", r)
	}
	want := socketserver.Connection{Token: r.token, ID: r.conn.ID, Listener: "TEST", Broker: 1, SecurityProtocol: "PLAINTEXT",
		Privileged: true, Principal: "User:ANONYMOUS", ClientAddress: "127.0.0.1"}
	if got := *r.conn; got.ID == "" || !equalConnections(got, want) {
		t.Errorf("connection %+v, want %+v", got, want)
	}
	o := f.answer(r, []byte("pong")...)
	if correlation, payload := c.receive(); correlation != 7 || string(payload) != "pong" {
		t.Fatalf("answer %d %q", correlation, payload)
	}
	o.want(t, socketserver.Sent)
	eventually(t, "the bytes are counted", func() bool {
		return f.metric(t, "kanal_processor_received_bytes_total") == float64(len(request(7))+4) &&
			f.metric(t, "kanal_processor_sent_bytes_total") == 12 && f.metric(t, "kanal_processor_requests_total") == 1
	})
}

func equalConnections(a, b socketserver.Connection) bool {
	return a.Token == b.Token && a.ID == b.ID && a.Listener == b.Listener && a.Broker == b.Broker && a.Kind == b.Kind &&
		a.SecurityProtocol == b.SecurityProtocol && a.Privileged == b.Privileged && a.Principal == b.Principal &&
		a.ClientAddress == b.ClientAddress && a.Handler == b.Handler && a.SoftwareName == b.SoftwareName
}

// Row I2.
func TestByteAtATime(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	for _, b := range requests(1, 2) {
		c.send([]byte{b})
		time.Sleep(50 * time.Microsecond) // lets packets be packets; nothing depends on it
	}
	for i := int32(1); i <= 2; i++ {
		f.answer(f.next(t))
		c.wantAnswer(i)
	}
}

// Row I3, tooBigRequestIsRejected: the limit itself is allowed, one more is not, no answer is given and no handler sees it.
func TestRequestSizes(t *testing.T) {
	const limit = 1000
	largest := request(1, make([]byte, limit-len(request(1))+4)...)
	for _, test := range []struct {
		name   string
		bytes  []byte
		reason network.CloseReason
	}{
		{"the limit", largest, network.ReasonNone},
		{"one above", binary.BigEndian.AppendUint32(nil, limit+1), network.ReasonInvalidSize},
		{"huge", []byte{0x7f, 0xff, 0xff, 0xff}, network.ReasonInvalidSize},
		{"negative", []byte{0xff, 0xff, 0xff, 0xff}, network.ReasonInvalidSize},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), network.ReasonInvalidSize},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), network.ReasonTLSOnPlaintext},
		{"empty", []byte{0, 0, 0, 0}, network.ReasonInvalidRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := start(t, socketserver.ListenerConfig{MaxRequestSize: limit})
			c := f.dial(t)
			c.send(test.bytes)
			if test.reason == network.ReasonNone {
				f.answer(f.next(t))
				c.wantAnswer(1)
				return
			}
			c.wantEnd(false)
			f.closedFor(t, test.reason, 1)
			f.untouched(t)
			if !f.log.has("level=WARN", `msg="connection closed"`, "reason="+test.reason.String(), "listener=TEST", "client=127.0.0.1", "conn=127.0.0.1:") {
				t.Error("no warning with connection, client, listener and reason")
			}
		})
	}
}

// Rows L2, L3, E1, E9: what is wrong with one connection's request closes that connection only, by name.
func TestBadRequestsCloseTheirConnectionOnly(t *testing.T) {
	for _, test := range []struct {
		name   string
		frame  []byte
		reason network.CloseReason
	}{
		{"unknown api key", requestFor(12345, 1), network.ReasonInvalidRequest},
		{"garbage header", sized([]byte{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8}), network.ReasonInvalidRequest},
		{"truncated header", sized([]byte{0, 3, 0, 1, 0, 0}), network.ReasonInvalidRequest},
		{"client id beyond the frame", sized([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff}), network.ReasonInvalidRequest},
		{"api that is not answered", requestFor(protocol.DescribeAcls, 1), network.ReasonUnsupportedAPI},
		{"version that is not answered", requestFor(protocol.Produce, 1), network.ReasonUnsupportedVersion},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := start(t)
			f.refuseKey(protocol.DescribeAcls, network.ReasonUnsupportedAPI)
			f.refuseKey(protocol.Produce, network.ReasonUnsupportedVersion)
			good, bad := f.dial(t), f.dial(t)
			good.send(request(1))
			waiting := f.next(t)
			bad.send(test.frame)
			bad.wantEnd(false)
			f.closedFor(t, test.reason, 1)
			f.untouched(t)
			if !f.log.has("level=WARN", "reason="+test.reason.String()) {
				t.Error("no warning")
			}
			f.answer(waiting)
			good.wantAnswer(1)
		})
	}
}

// An answer that the peer has not read yet must survive the close that follows it.
func TestAnswerBeforeAViolationArrives(t *testing.T) {
	for range 20 {
		f := start(t)
		c := f.dial(t)
		c.send(append(request(1), bytes.Repeat([]byte{0xff}, 30_000)...))
		f.answer(f.next(t))
		c.wantAnswer(1)
		c.wantEnd(false)
		f.closedFor(t, network.ReasonInvalidSize, 1)
		f.server.Close()
	}
}

// Frames of any protocol: not parsed, empty ones allowed (I3).
func TestListenerOfKindFrames(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Kind: socketserver.KindFrames, Handler: "echo"})
	c := f.dial(t)
	for _, frame := range []string{"", "any bytes", strings.Repeat("x", 300_000)} {
		c.send(sized([]byte(frame)))
		r := f.next(t)
		if string(r.frame) != frame || r.conn.Kind != socketserver.KindFrames || r.conn.Handler != "echo" {
			t.Fatalf("frame of %d bytes, connection %+v", len(r.frame), r.conn)
		}
		f.answer(r)
		c.receive()
	}
}

func TestLargeRequestsAndAnswers(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	for i, size := range []int{100, 65_535, 65_536, 1 << 20, 9 << 20, 1, 3 << 20} {
		body := bytes.Repeat([]byte{byte(i + 1)}, size)
		go c.send(request(int32(i), body...))
		r := f.next(t)
		if !bytes.Equal(r.frame[14:], body) {
			t.Fatalf("request of %d bytes is not what was sent", size)
		}
		o := f.answer(r, body...)
		if correlation, payload := c.receive(); correlation != int32(i) || !bytes.Equal(payload, body) {
			t.Fatalf("answer %d of %d bytes is not what was given", correlation, len(payload))
		}
		o.want(t, socketserver.Sent)
	}
}
