package loadgen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run came to. Megabytes are 10^6 bytes on the wire.
type Result struct {
	Mode        Mode    `json:"mode"`
	Addr        string  `json:"addr"`
	Connections int     `json:"connections"`
	Window      int     `json:"window"`
	Size        int     `json:"size,omitempty"` // bytes of a frame or record, where the mode has such
	Seconds     float64 `json:"seconds"`        // from the first request to the last answer

	Requests          uint64  `json:"requests"` // good answers
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// Records are those in good requests (ModeProduce).
	Records             uint64  `json:"records,omitempty"`
	RecordsPerSecond    float64 `json:"recordsPerSecond,omitempty"`
	SentMBPerSecond     float64 `json:"sentMBPerSecond"`
	ReceivedMBPerSecond float64 `json:"receivedMBPerSecond"`

	Errors   uint64            `json:"errors"` // requests without a good answer
	Failures map[string]uint64 `json:"failures,omitempty"`
	Latency  Latency           `json:"latencyMicroseconds"`
}

// Latency is the time from handing a request to the connection until its answer
// was read, in microseconds, to three digits. With a window above 1 it holds the
// waiting behind the window's other requests. It is a closed loop's: while the
// server stalls nothing is sent, so that stalls weigh little in percentiles, and
// show in the maximum. With acks=0 it is the time until the socket took the
// request, and the rates are what the sockets took.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percentile float64) float64 { return float64(h.ValueAtPercentile(percentile)) / 1e3 }
	return Latency{at(50), at(90), at(99), at(99.9), at(100)}
}

// result adds the workers up, whose goroutines have ended.
func (ws workers) result(cfg Config, p *plan, begun time.Duration) *Result {
	r := &Result{Mode: cfg.Mode, Addr: cfg.Addr, Connections: cfg.Connections, Window: cfg.Window, Failures: map[string]uint64{}}
	if cfg.Mode == ModeFrames || cfg.Mode == ModeProduce {
		r.Size = cfg.Size
	}
	latency, ended := newHistogram(), begun
	for _, w := range ws {
		latency.Merge(w.tally.latency)
		ended = max(ended, w.tally.last)
		for kind, n := range w.tally.failures {
			r.Failures[kind] += n
		}
	}
	all := ws.progress(max(ended-begun, 1))
	r.Requests, r.Errors, r.Seconds = all.Requests, all.Errors, all.At.Seconds()
	r.Records = r.Requests * uint64(p.records)
	r.RequestsPerSecond, r.RecordsPerSecond = float64(r.Requests)/r.Seconds, float64(r.Records)/r.Seconds
	r.SentMBPerSecond, r.ReceivedMBPerSecond = megabytes(all.SentBytes)/r.Seconds, megabytes(all.ReceivedBytes)/r.Seconds
	r.Latency = latencyOf(latency)
	return r
}

// ErrFailures is wrapped by the error of a run in which requests failed.
var ErrFailures = errors.New("requests failed")

func (r *Result) failure() error {
	if r.Errors > 0 {
		return fmt.Errorf("%w: %d of %d", ErrFailures, r.Errors, r.Errors+r.Requests)
	}
	return nil
}

func (r *Result) print(w io.Writer, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(w, r.String())
		return err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}

// String is the result as a table.
func (r *Result) String() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("mode", "%s at %s", r.Mode, r.Addr)
	row("load", "%s", r.load())
	row("requests", "%d in %.2f s, %.0f/s", r.Requests, r.Seconds, r.RequestsPerSecond)
	if r.Records > 0 {
		row("records", "%d, %.0f/s", r.Records, r.RecordsPerSecond)
	}
	row("bytes", "%.1f MB/s out, %.1f MB/s in", r.SentMBPerSecond, r.ReceivedMBPerSecond)
	row("latency", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", micros(r.Latency.P50), micros(r.Latency.P90),
		micros(r.Latency.P99), micros(r.Latency.P999), micros(r.Latency.Max))
	row("errors", "%d", r.Errors)
	for _, kind := range slices.Sorted(maps.Keys(r.Failures)) {
		row("", "%d %s", r.Failures[kind], kind)
	}
	_ = t.Flush() // a strings.Builder takes everything
	return b.String()
}

func (r *Result) load() string {
	s := fmt.Sprintf("%d connections, window %d", r.Connections, r.Window)
	if r.Size > 0 {
		s += fmt.Sprintf(", %d bytes", r.Size)
	}
	return s
}

// micros prints microseconds in a unit that people read.
func micros(us float64) string {
	switch {
	case us < 1e3:
		return fmt.Sprintf("%.0fµs", us)
	case us < 1e6:
		return fmt.Sprintf("%.2fms", us/1e3)
	}
	return fmt.Sprintf("%.2fs", us/1e6)
}
