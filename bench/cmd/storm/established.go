package main

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// established are clients that are connected for the whole time.
type established []net.Conn

func connect(addr string, n int) (all established, err error) {
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (e established) close() {
	for _, c := range e {
		_ = c.Close()
	}
}

// latencies in microseconds.
type latencies struct{ *hdrhistogram.Histogram }

const longest = int64(10 * time.Second / time.Microsecond)

func newLatencies() latencies { return latencies{hdrhistogram.New(1, longest, 3)} }

func (l latencies) at(percentile float64) float64 { return float64(l.ValueAtPercentile(percentile)) }

// work has every client send pace requests a second, and measures each from when it was to be sent: a stall counts for
// all requests that it delays.
func (e established) work(pace int, d time.Duration) (latencies, error) {
	all, begun := newLatencies(), time.Now()
	var mu sync.Mutex
	var wait sync.WaitGroup
	var failed error
	for i, c := range e {
		wait.Go(func() {
			own, interval := newLatencies(), time.Second/time.Duration(pace)
			first := begun.Add(interval * time.Duration(i) / time.Duration(len(e)))
			err := ask(c, first, interval, begun.Add(d), own)
			mu.Lock()
			defer mu.Unlock()
			all.Merge(own.Histogram)
			if failed == nil {
				failed = err
			}
		})
	}
	wait.Wait()
	return all, failed
}

var question = append([]byte{0, 0, 0, 64}, make([]byte, 64)...)

func ask(c net.Conn, due time.Time, interval time.Duration, until time.Time, l latencies) error {
	answer := make([]byte, len(question))
	for ; due.Before(until); due = due.Add(interval) {
		time.Sleep(time.Until(due))
		if _, err := c.Write(question); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			return err
		}
		if err := l.RecordValue(min(time.Since(due).Microseconds(), longest)); err != nil {
			return err
		}
	}
	return nil
}
