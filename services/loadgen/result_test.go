package loadgen

import (
	"strings"
	"testing"
	"time"
)

func TestResultTable(t *testing.T) {
	r := Result{
		Mode: ModeProduce, Addr: "localhost:9092", Connections: 64, Window: 2, Size: 100, Seconds: 10.004, Requests: 1000, RequestsPerSecond: 99.96,
		Records: 10000, RecordsPerSecond: 999.6, SentMBPerSecond: 1.25, ReceivedMBPerSecond: 0.05, Errors: 3,
		Failures: map[string]uint64{"b": 1, "a": 2}, Latency: Latency{12, 999.4, 1500, 20_000, 2_500_000},
	}
	want := strings.TrimPrefix(`
mode      produce at localhost:9092
load      64 connections, window 2, 100 bytes
requests  1000 in 10.00 s, 100/s
records   10000, 1000/s
bytes     1.2 MB/s out, 0.1 MB/s in
latency   p50 12µs  p90 999µs  p99 1.50ms  p99.9 20.00ms  max 2.50s
errors    3
          2 a
          1 b
`, "\n")
	if got := r.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The histogram is right to three digits over its whole range.
func TestLatency(t *testing.T) {
	tally := newTally()
	for i := range 1000 {
		tally.answer(int64(i+1)*int64(time.Millisecond), nil)
	}
	tally.answer(int64(time.Hour), nil) // as long as it goes
	got := latencyOf(tally.latency)
	for name, pair := range map[string][2]float64{"p50": {got.P50, 501e3}, "p90": {got.P90, 901e3}, "p99": {got.P99, 991e3}, "max": {got.Max, 100e6}} {
		if d := pair[0]/pair[1] - 1; d > 0.002 || d < -0.002 {
			t.Errorf("%s is %f, want %f", name, pair[0], pair[1])
		}
	}
}
