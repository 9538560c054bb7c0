package requestlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLog(t testing.TB, c Config) *Log {
	t.Helper()
	l := New(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(l.Close)
	if err := l.Update(c); err != nil {
		t.Fatal(err)
	}
	return l
}

// request is one that took 1.2345678 s in all.
func request(change func(*requestchannel.Ended)) *requestchannel.Ended {
	frame := binary.BigEndian.AppendUint16(nil, uint16(protocol.Produce))
	frame = binary.BigEndian.AppendUint16(frame, 2)
	frame = binary.BigEndian.AppendUint32(frame, 77)
	frame = append(frame, 0, 3, 'a', 'p', 'p', 1, 2, 3)
	us := time.Microsecond
	e := &requestchannel.Ended{
		Times:  requestchannel.Times{Queue: 1001 * us, Transit: 2002 * us, Handle: 3003 * us, Remote: 4004 * us, Throttle: 5 * time.Second, Response: 6006 * us, Send: 7007 * us, Total: 1234567800},
		APIKey: protocol.Produce, APIVersion: 2, Service: "records", Handler: "r1", Security: requestchannel.SASLSSL,
		Result: requestchannel.Sent, RequestBytes: 16, ResponseBytes: 99, Frame: frame,
		Encoded: requestchannel.AppendOrigin(nil, requestchannel.Origin{FrontEnd: "f", ConnectionID: "1:2-3:4-0-5", Listener: "EXTERNAL", Principal: "User:alice", ClientAddress: "192.0.2.1", SoftwareName: "franz-go", SoftwareVersion: "1.22"}),
	}
	if change != nil {
		change(e)
	}
	return e
}

// end is what the request channel does with a request that ends.
func end(l *Log, e *requestchannel.Ended) {
	if l.Wants(e.APIKey, e.Total) {
		l.Record(e)
	}
}

func recentLinesOf(t *testing.T, l *Log) (lines []map[string]any) {
	t.Helper()
	for _, line := range l.Recent() {
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, m)
	}
	return lines
}

// M11, R3, testRequestDescMetrics, testRequestHeaderNodeWithDeprecatedApiVersion, testClientInfoNode: the fields of a
// line, in Kafka's words, times in milliseconds with three decimals, cut off.
func TestLine(t *testing.T) {
	l := newLog(t, Config{Output: Memory})
	end(l, request(nil))
	line := recentLinesOf(t, l)[0]
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "request ended", "api": "Produce", "version": 2.0, "deprecated": true, "correlationId": 77.0, "clientId": "app",
		"connection": "1:2-3:4-0-5", "listener": "EXTERNAL", "securityProtocol": "SASL_SSL", "principal": "User:alice", "clientAddress": "192.0.2.1",
		"clientInformation": map[string]any{"softwareName": "franz-go", "softwareVersion": "1.22"},
		"outcome":           "sent", "requestBytes": 16.0, "responseBytes": 99.0, "service": "records", "handler": "r1",
		"totalTimeMs": 1234.567, "requestQueueTimeMs": 1.001, "transitTimeMs": 2.002, "localTimeMs": 3.003, "remoteTimeMs": 4.004,
		"throttleTimeMs": 5000.0, "responseQueueTimeMs": 6.006, "sendTimeMs": 7.007,
	}
	if !reflect.DeepEqual(line, want) {
		t.Fatalf("%v\nwant %v", line, want)
	}
}

// testAllRequestTypesHandled: whatever the request, there is a line; where its frame has been let go, or where it is none
// of Kafka's, without what only the frame tells.
func TestEveryAPIHasALine(t *testing.T) {
	l := newLog(t, Config{Output: Memory})
	n := 0
	for key := range keys {
		if key.Known() {
			end(l, request(func(e *requestchannel.Ended) { e.APIKey, e.Frame = key, nil }))
			n++
		}
	}
	end(l, request(func(e *requestchannel.Ended) { e.APIKey, e.Service = -1, "echo" }))
	lines := recentLinesOf(t, l)
	if len(lines) != n+1 {
		t.Fatalf("%d lines of %d", len(lines), n+1)
	}
	for _, line := range lines {
		if _, has := line["clientId"]; has {
			t.Error("a client id out of nothing:", line)
		}
	}
	if last := lines[n]; last["api"] != nil || last["service"] != "echo" {
		t.Error(last)
	}
}

// testAlterRequests, testIncrementalAlterRequests, testJsonRequests: whatever secrets a request brings, a line has
// nothing of its body.
func TestNothingOfBodies(t *testing.T) {
	l := newLog(t, Config{Output: Memory})
	for _, key := range []protocol.APIKey{protocol.AlterConfigs, protocol.IncrementalAlterConfigs, protocol.AlterUserScramCredentials} {
		end(l, request(func(e *requestchannel.Ended) {
			e.APIKey = key
			binary.BigEndian.PutUint16(e.Frame, uint16(key))
			binary.BigEndian.PutUint16(e.Frame[2:], 0)
			e.Frame = append(e.Frame, "password=hunter2"...)
		}))
	}
	lines := l.Recent()
	if len(lines) != 3 || !bytes.Contains(lines[0], []byte(`"clientId":"app"`)) {
		t.Fatalf("%s", lines)
	}
	for _, line := range lines {
		if bytes.Contains(line, []byte("hunter2")) {
			t.Errorf("%s", line)
		}
	}
}

// M11, R10 and the weakness of 27: what is written is chosen by time, client, api and principal, and thinned out.
func TestFilters(t *testing.T) {
	slowPoll := func(e *requestchannel.Ended) { e.Parked, e.Remote = true, e.Total-time.Millisecond }
	tests := []struct {
		name   string
		config Config
		change func(*requestchannel.Ended)
		want   bool
	}{
		{"nothing set", Config{}, nil, true},
		{"slow enough", Config{Slow: time.Second}, nil, true},
		{"not slow", Config{Slow: 2 * time.Second}, nil, false},
		{"a long poll that only waited", Config{Slow: time.Second}, slowPoll, false},
		{"a long poll without a threshold", Config{}, slowPoll, true},
		{"the client", Config{Clients: []string{"other", "app"}}, nil, true},
		{"another client", Config{Clients: []string{"other"}}, nil, false},
		{"the api", Config{APIs: []string{"Fetch", "Produce"}}, nil, true},
		{"another api", Config{APIs: []string{"Fetch"}}, nil, false},
		{"no api of Kafka's", Config{APIs: []string{"Fetch"}}, func(e *requestchannel.Ended) { e.APIKey = -1 }, false},
		{"the principal", Config{Principals: []string{"User:alice"}}, nil, true},
		{"another principal", Config{Principals: []string{"User:bob"}}, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.config.Output = Memory
			l := newLog(t, test.config)
			end(l, request(test.change))
			if got := len(l.Recent()) == 1; got != test.want {
				t.Fatalf("written: %v", got)
			}
		})
	}
}

func TestSampling(t *testing.T) {
	l := newLog(t, Config{Output: Memory, Sample: 10, Clients: []string{"app"}})
	for range 95 {
		end(l, request(nil))
		end(l, request(func(e *requestchannel.Ended) { e.Frame = nil })) // of an unknown client
	}
	if n := len(l.Recent()); n != 10 {
		t.Fatalf("%d lines of 95, one of 10", n)
	}
}

// R10, M11: a change takes effect at once, one that is not valid changes nothing, and off is off.
func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "requests.json")
	l := newLog(t, Config{})
	end(l, request(nil))
	if err := l.Update(Config{Output: path}); err != nil {
		t.Fatal(err)
	}
	end(l, request(nil))
	for _, bad := range []Config{
		{Output: Memory, APIs: []string{"Produce", "Nothing"}}, {Output: Memory, Sample: -1}, {Output: Memory, Slow: -1}, {Output: t.TempDir()},
	} {
		if err := l.Update(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	end(l, request(nil))
	if err := l.Update(Config{Output: Off}); err != nil {
		t.Fatal(err)
	}
	end(l, request(nil))
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Fatalf("%v in the file:\n%s", err, text)
	}
	if lines := l.Recent(); lines != nil {
		t.Fatalf("off, and %d lines", len(lines))
	}
}

// What is kept in memory is the newest.
func TestRecentIsBounded(t *testing.T) {
	l := newLog(t, Config{Output: Memory})
	for i := range 1000 {
		end(l, request(func(e *requestchannel.Ended) { e.RequestBytes = i }))
	}
	lines := recentLinesOf(t, l)
	if len(lines) != recentLines || lines[0]["requestBytes"] != float64(1000-recentLines) || lines[recentLines-1]["requestBytes"] != 999.0 {
		t.Fatal(len(lines), lines[0])
	}
}

// An output that hangs or fails costs lines, which are counted, and never a loop's time; what was taken is written
// before the log closes.
func TestSlowAndBrokenOutputs(t *testing.T) {
	l := newLog(t, Config{})
	hanging := &hangingFile{free: make(chan struct{})}
	s := startSink(hanging, l)
	for i := range queuedLines + 100 {
		s.write(fmt.Appendln(nil, i))
	}
	dropped := testutil.ToFloat64(l.dropped)
	if dropped < 99 || dropped > 100 { // one may be in the file's hands
		t.Errorf("%v dropped", dropped)
	}
	close(hanging.free)
	s.close()
	if n := hanging.lines(); n != queuedLines+100-int(dropped) {
		t.Errorf("%d written of %d", n, queuedLines)
	}

	s = startSink(brokenFile{}, l)
	s.write([]byte("x\n"))
	s.close()
	if n := testutil.ToFloat64(l.dropped); n != dropped+1 {
		t.Errorf("%v dropped by a broken file", n-dropped)
	}
}

type hangingFile struct {
	free chan struct{}
	mu   sync.Mutex
	b    bytes.Buffer
}

func (h *hangingFile) Write(p []byte) (int, error) {
	<-h.free
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

func (h *hangingFile) Close() error { return nil }

func (h *hangingFile) lines() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Count(h.b.String(), "\n")
}

type brokenFile struct{}

func (brokenFile) Write([]byte) (int, error) { return 0, errors.New("disk full") }
func (brokenFile) Close() error              { return nil }

// Requests end on many loops while the log is changed.
func TestUpdateWhileRequestsEnd(t *testing.T) {
	dir := t.TempDir()
	l := newLog(t, Config{})
	var loops sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		loops.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					end(l, request(nil))
				}
			}
		})
	}
	outputs := []string{Off, Memory, filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	for i := range 200 {
		if err := l.Update(Config{Output: outputs[i%len(outputs)]}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	loops.Wait()
	if err := l.Update(Config{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if !json.Valid(line) {
				t.Fatalf("not JSON: %s", line)
			}
		}
	}
}

// BenchmarkOff is what a request pays while the log is off; BenchmarkLine what it pays for its line.
func BenchmarkOff(b *testing.B) {
	l := newLog(b, Config{})
	e := request(nil)
	b.ReportAllocs()
	for b.Loop() {
		end(l, e)
	}
}

func BenchmarkLine(b *testing.B) {
	l := newLog(b, Config{Output: Memory})
	e := request(nil)
	b.ReportAllocs()
	for b.Loop() {
		end(l, e)
	}
}
