package loadgen

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kerr"
)

// counters are what a worker lets others see while it runs.
type counters struct{ requests, errors, sent, received atomic.Uint64 }

// tally is one worker's result. It belongs to its goroutine while that runs.
type tally struct {
	answered uint64
	failed   uint64
	failures map[string]uint64
	latency  *hdrhistogram.Histogram // nanoseconds, of good answers
	last     time.Duration           // when the worker's last pass was
}

const (
	finestLatency  = int64(100 * time.Nanosecond)
	longestLatency = int64(100 * time.Second)
	latencyDigits  = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(finestLatency, longestLatency, latencyDigits)
}

func newTally() *tally { return &tally{failures: map[string]uint64{}, latency: newHistogram()} }

// answer counts a request that is over; err says what was wrong with its answer.
func (t *tally) answer(nanos int64, err error) {
	if err != nil {
		t.fail(kind(err), 1)
		return
	}
	t.answered++
	_ = t.latency.RecordValue(min(nanos, longestLatency)) // in range
}

func (t *tally) fail(kind string, n int) {
	if n > 0 {
		t.failed += uint64(n)
		t.failures[kind] += uint64(n)
	}
}

// kind words an error so that there are only a few of them.
func kind(err error) string {
	if k := (*kerr.Error)(nil); errors.As(err, &k) {
		return k.Message
	}
	for _, known := range []error{errDiffers, errCorrelation, errEmpty} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return errUnreadable.Error()
}
