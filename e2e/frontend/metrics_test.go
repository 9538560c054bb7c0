package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// scripted is a service whose answers are what the client id asks for.
type scripted struct {
	registry *prometheus.Registry
	taken    chan string   // client ids
	free     chan struct{} // closed by release: what was held is answered
	release  func()
}

func startScripted(t testing.TB, url string) *scripted {
	t.Helper()
	s := &scripted{registry: prometheus.NewRegistry(), taken: make(chan string, 1000), free: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.free) })
	mux := handler.NewMux()
	mux.Handle(protocol.Metadata, 0, 13, s.metadata)
	server, err := handler.NewServer(handler.Config{
		Subjects: requestchannel.Subjects{Prefix: "kanal", Cluster: "test"}, Service: "test", Release: "0.0.1", Window: 32, DrainTimeout: time.Second,
	}, mux, connect(t, url), connect(t, url), slog.New(slog.DiscardHandler), s.registry)
	if err != nil {
		t.Fatal(err)
	}
	run(t, server)
	return s
}

func (s *scripted) metadata(_ context.Context, r *handler.Request) (kmsg.Response, error) {
	response := kmsg.NewPtrMetadataResponse()
	s.taken <- r.ClientID
	switch r.ClientID {
	case "hold":
		<-s.free
	case "large":
		response.ClusterID = kmsg.StringPtr(strings.Repeat("x", 30000))
		for range 200 {
			response.Topics = append(response.Topics, kmsg.MetadataResponseTopic{Topic: response.ClusterID})
		}
	case "errors":
		name := "t"
		response.Topics = []kmsg.MetadataResponseTopic{{Topic: &name, ErrorCode: kerr.UnknownTopicOrPartition.Code}, {Topic: &name}}
	case "close":
		response.ErrorCode = kerr.KafkaStorageError.Code
		return response, handler.ErrCloseConnection
	case "silent":
		return nil, handler.ErrNoResponse
	}
	return response, nil
}

func startWithScript(t testing.TB, variables map[string]string) (*fixture, *scripted) {
	t.Helper()
	url := startNATS(t)
	s := startScripted(t, url)
	f := newFrontEnd(t, url, variables)
	f.awaitOpened()
	t.Cleanup(s.release) // before the services stop, which wait for what is held
	return f, s
}

func (s *scripted) awaitTaken(t testing.TB) {
	t.Helper()
	select {
	case <-s.taken:
	case <-time.After(patience):
		t.Fatal("no request came")
	}
}

// request is a Metadata v9 request.
func (c client) request(clientID string) {
	c.send(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, metadata(9), 7)[4:])
}

// sum adds up a metric's series that have these label values; of a histogram it is the count.
func sum(t testing.TB, from *prometheus.Registry, name string, values ...string) (n float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetValue()] = true
			}
			for _, v := range values {
				if !have[v] {
					continue series
				}
			}
			n += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return n
}

func (f *fixture) sum(name string, values ...string) float64 {
	f.t.Helper()
	return sum(f.t, f.registry, name, values...)
}

// becomes waits until a metric has a value.
func (f *fixture) becomes(want float64, name string, values ...string) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := f.sum(name, values...)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s%v is %v, want %v", name, values, got, want)
		}
	}
}

// nothingLeft is that no gauge knows of a request or connection, and that every request was counted once everywhere.
func (f *fixture) nothingLeft(requests float64) {
	f.t.Helper()
	f.becomes(requests, "kanal_requests_total")
	for _, gauge := range []string{
		"kanal_connections", "kanal_client_connections", "kanal_requests_in_flight", "kanal_request_oldest_age_seconds",
		"kanal_requests_queued", "kanal_requests_parked", "kanal_processor_parked_receives", "kanal_processor_response_queue",
	} {
		f.becomes(0, gauge)
	}
	for name, stage := range map[string][]string{"kanal_request_outcomes_total": nil, "kanal_request_stage_seconds": {"total"}, "kanal_request_size_bytes": nil} {
		if got := f.sum(name, stage...); got != requests {
			f.t.Errorf("%s%v is %v, want %v", name, stage, got, requests)
		}
	}
}

// R4, testClientDisconnectionUpdatesRequestMetrics: a client that leaves while its answer is made, or while a large one
// is written, is counted once, and not again when the answer comes (testBrokerSendAfterChannelClosedUpdatesRequestMetrics).
func TestRequestsOfClientsThatLeaveAreCountedOnce(t *testing.T) {
	t.Run("before the answer", func(t *testing.T) {
		f, s := startWithScript(t, nil)
		c := f.dial()
		c.request("hold")
		s.awaitTaken(t)
		if n := f.sum("kanal_requests_in_flight", "Metadata"); n != 1 {
			t.Errorf("%v in flight", n)
		}
		f.becomes(0, "kanal_requests_total") // R7: completions count, not arrivals
		c.reset()
		f.becomes(1, "kanal_request_outcomes_total", "connection_lost")
		s.release() // the answer comes to nobody
		f.becomes(1, "kanal_request_channel_late_answers_total")
		f.nothingLeft(1)
	})
	t.Run("during the answer", func(t *testing.T) {
		f, s := startWithScript(t, nil)
		c := f.dial()
		if err := c.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		c.request("large") // six megabytes, of which this client reads none
		s.awaitTaken(t)
		f.becomes(0, "kanal_requests_in_flight") // it has its outcome, and is being written
		c.reset()
		f.becomes(1, "kanal_request_outcomes_total", "connection_lost")
		f.nothingLeft(1)
	})
}

func (c client) reset() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// R4, R5: whatever becomes of requests, those of ApiVersions included, which the front end answers itself, each is
// counted once, and all gauges return to where they were.
func TestEveryRequestIsCountedOnce(t *testing.T) {
	f, _ := startWithScript(t, nil)
	a := f.dial()
	for range 3 {
		a.ask(metadata(9))
	}
	q := kmsg.NewPtrApiVersionsRequest()
	q.SetVersion(3)
	q.ClientSoftwareName, q.ClientSoftwareVersion = "franz-go", "1.22"
	a.ask(q)
	if n := f.sum("kanal_client_connections", "franz-go", "1.22"); n != 1 { // L7
		t.Errorf("%v connections by software", n)
	}
	a.request("silent")
	a.request("") // is served after the silent one
	a.receive()
	b := f.dial()
	b.request("close")
	b.wantEnd()
	a.Close()
	f.nothingLeft(7)
	for outcome, want := range map[string]float64{"sent": 5, "no_op": 1, "closed": 1, "connection_lost": 0} {
		if n := f.sum("kanal_request_outcomes_total", outcome); n != want {
			t.Errorf("%v are %s, want %v", n, outcome, want)
		}
	}
	if n := f.sum("kanal_requests_total", "ApiVersions", "3"); n != 1 {
		t.Errorf("%v of ApiVersions version 3", n)
	}
	if n := f.sum("kanal_request_stage_seconds", "ApiVersions", "send"); n != 1 {
		t.Errorf("%v sends of ApiVersions", n)
	}
}

// M7: the codes of an answer are counted, NONE among them, also of one that only closes the connection.
func TestErrorsByAPI(t *testing.T) {
	f, s := startWithScript(t, nil)
	c := f.dial()
	c.request("errors")
	c.receive()
	c.request("close")
	c.wantEnd()
	want := map[string]float64{"UNKNOWN_TOPIC_OR_PARTITION": 1, "NONE": 2, "KAFKA_STORAGE_ERROR": 1} // NONE: of the answer and of a topic
	for name, n := range want {
		if got := sum(t, s.registry, "kanal_request_errors_total", "Metadata", name); got != n {
			t.Errorf("%v of %s, want %v", got, name, n)
		}
	}
	bad := kmsg.NewPtrApiVersionsRequest()
	bad.SetVersion(3)
	bad.ClientSoftwareName = "no spaces"
	f.dial().ask(bad)
	if n := f.sum("kanal_request_errors_total", "ApiVersions", "INVALID_REQUEST"); n != 1 {
		t.Errorf("%v INVALID_REQUEST", n)
	}
}

// testRequestMetricsAfterStop, R8: the metrics outlast the closing of the ports, and go with the front end.
func TestMetricsOutlastThePorts(t *testing.T) {
	f, s := startWithScript(t, map[string]string{"KANAL_DRAIN_TIMEOUT": "20s"})
	c := f.dial()
	c.request("hold")
	s.awaitTaken(t)
	stopped := make(chan struct{})
	go func() { f.stop(); close(stopped) }()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		probe, err := net.Dial("tcp", f.Addr("TEST"))
		if err != nil {
			break // the port is closed
		}
		_ = probe.Close()
		if time.Now().After(deadline) {
			t.Fatal("the port stays open")
		}
	}
	if n := f.sum("kanal_requests_in_flight", "Metadata"); n != 1 {
		t.Errorf("%v in flight while draining", n)
	}
	s.release()
	c.receive()
	<-stopped
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "kanal_config_") { // of the process's configuration
			t.Errorf("%s is left", family.GetName())
		}
	}
}

// M11: a line for each request, ApiVersions too, with what connection, header and handler tell.
func TestRequestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "requests")
	f, _ := startWithScript(t, map[string]string{"KANAL_REQUEST_LOG": path})
	c := f.dial()
	q := kmsg.NewPtrApiVersionsRequest()
	q.SetVersion(3)
	q.ClientSoftwareName, q.ClientSoftwareVersion = "franz-go", "1.22"
	c.ask(q)
	c.ask(metadata(9))
	c.Close()
	f.stop() // writes what is left

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range bytes.Lines(text) {
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, m)
	}
	if len(lines) != 2 || lines[0]["api"] != "ApiVersions" || lines[1]["api"] != "Metadata" {
		t.Fatalf("%v", lines)
	}
	line := lines[1]
	for name, want := range map[string]any{
		"version": 9.0, "correlationId": 77.0, "clientId": "test", "listener": "TEST", "securityProtocol": "PLAINTEXT",
		"principal": "User:ANONYMOUS", "clientAddress": "127.0.0.1", "service": "test", "outcome": "sent",
	} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	if software := line["clientInformation"].(map[string]any); software["softwareName"] != "franz-go" || software["softwareVersion"] != "1.22" {
		t.Errorf("client information %v", software)
	}
	if line["handler"] == "" || !strings.Contains(line["connection"].(string), f.Addr("TEST")) {
		t.Errorf("handler %v, connection %v", line["handler"], line["connection"])
	}
	parts := 0.0
	for _, name := range []string{"requestQueueTimeMs", "transitTimeMs", "localTimeMs", "remoteTimeMs", "responseQueueTimeMs", "sendTimeMs"} {
		parts += line[name].(float64)
	}
	if total := line["totalTimeMs"].(float64); total <= 0 || parts > total || parts < 0.5*total {
		t.Errorf("the parts make %v of %v ms", parts, total) // R2: about; clocks of two processes, microseconds cut off
	}
}
