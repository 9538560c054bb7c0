package frontend

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"runtime"
	"testing"
	"time"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// TestRequestContext: a handler knows of a request what its connection is,
// listener by listener, and whether it is privileged is the listener's to say
// (L10, L12, A6, E3; testSessionPrincipal,
// testInterBrokerListenerAsPrivilegedListener).
func TestRequestContext(t *testing.T) {
	f := start(t, map[string]string{
		"KANAL_LISTENERS": "TEST://127.0.0.1:0,INSIDE://127.0.0.1:0", "KANAL_LISTENER_INSIDE_PRIVILEGED": "true",
	})
	for i, listener := range []string{"TEST", "INSIDE"} {
		c := f.dialListener(listener)
		r := f.served(c)
		want := requestchannel.Origin{
			FrontEnd: r.FrontEnd, ConnectionID: fmt.Sprintf("%s-%s-%d-0", c.RemoteAddr(), c.LocalAddr(), i),
			Listener: listener, Principal: "User:ANONYMOUS", ClientAddress: "127.0.0.1",
		}
		if r.Origin != want || r.FrontEnd == "" || r.Privileged != (listener == "INSIDE") || r.SecurityProtocol != requestchannel.Plaintext {
			t.Errorf("%s: origin %+v, privileged %t, protocol %d", listener, r.Origin, r.Privileged, r.SecurityProtocol)
		}
		if r.APIKey != protocol.Metadata || r.APIVersion != 5 || r.client != "test" || r.Broker != 1 {
			t.Errorf("%s: %v version %d of client %q for broker %d", listener, r.APIKey, r.APIVersion, r.client, r.Broker)
		}
	}
}

// TestClientIDMayBeNull: as empty (L1; testProduceRequestWithNullClientId with
// its correlation id -1, parseHeaderWithNullClientId).
func TestClientIDMayBeNull(t *testing.T) {
	f := start(t, nil)
	c := f.dial()
	for _, id := range []*string{nil, ptr("")} {
		c.send(header(protocol.Metadata, 1, -1, id, 0, 0, 0, 0))
		hasPrefix(t, "the answer", c.receive(), []byte{0xff, 0xff, 0xff, 0xff})
		if r := f.next(); r.client != "" {
			t.Errorf("client id %q", r.client)
		}
	}
}

// TestBadRequestsAreClosed: each is what its name says, gets no answer, is seen
// by no handler, and is closed for the reason that is counted; a neighbour goes
// on (L2, L3, L4; EdgeCaseRequestTest, whose methods all send the same;
// testDisabledRequestIsRejected and tooBigRequestIsRejected, which pass when
// the server answers; testInvalidRequestForArrayList and its siblings).
func TestBadRequestsAreClosed(t *testing.T) {
	const limit = 10_000
	f := start(t, map[string]string{"KANAL_REQUEST_MAX_BYTES": fmt.Sprint(limit)})
	neighbour := f.dial()
	test := ptr("test")
	closed := map[string]float64{}
	for _, bad := range []struct {
		name, reason string
		bytes        []byte
	}{
		{"size above the limit, no body", "invalid_size", binary.BigEndian.AppendUint32(nil, limit+1)},
		{"size above the limit with its body", "invalid_size", sized(make([]byte, limit+1))},
		{"negative size", "invalid_size", binary.BigEndian.AppendUint32(nil, 1<<31)},
		{"empty frame", "invalid_request", sized(nil)},
		{"cut header", "invalid_request", sized(header(protocol.Produce, 3, 1, test)[:9])},
		{"client id beyond the frame", "invalid_request", sized(header(protocol.Produce, 3, 1, test)[:12])},
		{"api key -1", "invalid_request", sized(header(-1, 0, 1, test))},
		{"api key that nobody has", "invalid_request", sized(header(12345, 0, 1, test))},
		{"api of quorums (Vote)", "invalid_request", sized(header(52, 0, 1, test))},
		{"api that no handler has", "unsupported_api", sized(header(protocol.DescribeQuorum, 0, 1, test, 0))},
		{"version 32767", "unsupported_version", sized(header(protocol.Produce, math.MaxInt16, 1, test, 0))},
		{"version below the oldest", "unsupported_version", sized(header(protocol.Produce, 2, 1, test))},
		{"negative version", "invalid_request", sized(header(protocol.Produce, -1, 1, test))},
		{"header without body", "handler_closed", sized(header(protocol.Produce, 3, 1, test))},
		{"array of 2147483647 topics", "handler_closed", sized(header(protocol.Metadata, 1, 1, test, 0x7f, 0xff, 0xff, 0xff))},
		{"records of 2147483647 bytes", "handler_closed", sized(header(protocol.Produce, 3, 1, test,
			0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff))},
	} {
		t.Run(bad.name, func(t *testing.T) {
			before := allocated()
			c := f.dial()
			if _, err := c.Write(bad.bytes); err != nil {
				t.Fatal(err)
			}
			client{c, t}.wantEnd()
			closed[bad.reason]++
			f.closedFor(bad.reason, closed[bad.reason])
			f.untouched()
			if grown := allocated() - before; grown > 64<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
			f.served(neighbour)
		})
	}
}

// allocated is how many bytes the process has ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestLargestRequestIsTaken: the limit itself (I3).
func TestLargestRequestIsTaken(t *testing.T) {
	const limit = 10_000
	f := start(t, map[string]string{"KANAL_REQUEST_MAX_BYTES": fmt.Sprint(limit)})
	c := f.dial()
	topic := make([]byte, limit-len(header(protocol.Metadata, 1, 1, ptr("test")))-6)
	for i := range topic {
		topic[i] = 'x'
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 1}, uint16(len(topic)))
	c.send(header(protocol.Metadata, 1, 1, ptr("test"), append(body, topic...)...))
	hasPrefix(t, "the answer", c.receive(), []byte{0, 0, 0, 1})
	if r := f.next(); len(r.Frame) != limit {
		t.Errorf("a frame of %d bytes", len(r.Frame))
	}
}

// TestPortsOpenWhenServicesAreKnown: an open port means a front end that can
// answer (B2, B4; testStagedListenerStartup, testAcceptorStartOpensPortIfNeeded).
func TestPortsOpenWhenServicesAreKnown(t *testing.T) {
	url := startNATS(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	f := newFrontEnd(t, url, map[string]string{"KANAL_LISTENERS": "TEST://" + addr})
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Fatal("the port is open before the service is known")
		}
	}
	f.requests = startHandler(t, url)
	f.awaitOpened()
	f.served(f.dial())
}
