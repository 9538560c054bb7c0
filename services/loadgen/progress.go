package loadgen

import (
	"fmt"
	"time"
)

// Progress is what happened in an interval of a running load.
type Progress struct {
	At                       time.Duration // since the load began
	Interval                 time.Duration
	Requests                 uint64 // good answers
	Errors                   uint64
	SentBytes, ReceivedBytes uint64
}

// progress adds up where the workers are.
func (ws workers) progress(at time.Duration) Progress {
	p := Progress{At: at}
	for _, w := range ws {
		p.Requests += w.live.requests.Load()
		p.Errors += w.live.errors.Load()
		p.SentBytes += w.live.sent.Load()
		p.ReceivedBytes += w.live.received.Load()
	}
	return p
}

func (p Progress) since(before Progress) Progress {
	return Progress{p.At, p.At - before.At, p.Requests - before.Requests, p.Errors - before.Errors,
		p.SentBytes - before.SentBytes, p.ReceivedBytes - before.ReceivedBytes}
}

// String is one line.
func (p Progress) String() string {
	s := p.Interval.Seconds()
	return fmt.Sprintf("%4.0fs %10.0f requests/s %8.1f MB/s out %8.1f MB/s in %6d errors", p.At.Seconds(),
		float64(p.Requests)/s, megabytes(p.SentBytes)/s, megabytes(p.ReceivedBytes)/s, p.Errors)
}

func megabytes(n uint64) float64 { return float64(n) / 1e6 }
