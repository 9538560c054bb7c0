package requestlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// sink writes lines from a goroutine of its own: processors' loops end requests and must not wait for a disk. What it
// cannot take is dropped and counted.
type sink struct {
	log     *Log
	file    io.WriteCloser
	lines   chan []byte
	closing chan struct{}
	closed  chan struct{}
}

// queuedLines is how many lines may wait.
const queuedLines = 4096

// openSink opens an output; Memory has none.
func openSink(output string, log *Log) (*sink, error) {
	var file io.WriteCloser
	switch output {
	case Memory:
		return nil, nil
	case Stderr:
		file = stderr{os.Stderr}
	default:
		f, err := os.OpenFile(output, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open the request log: %w", err)
		}
		file = f
	}
	return startSink(file, log), nil
}

func startSink(file io.WriteCloser, log *Log) *sink {
	s := &sink{log: log, file: file, lines: make(chan []byte, queuedLines), closing: make(chan struct{}), closed: make(chan struct{})}
	go s.run()
	return s
}

// stderr stays open.
type stderr struct{ io.Writer }

func (stderr) Close() error { return nil }

func (s *sink) write(line []byte) {
	if s == nil {
		return
	}
	select {
	case s.lines <- line:
	default:
		s.log.dropped.Inc()
	}
}

func (s *sink) run() {
	defer close(s.closed)
	failed := false
	for {
		line, more := s.next()
		if !more {
			break
		}
		if _, err := s.file.Write(line); err != nil {
			s.log.dropped.Inc()
			if !failed {
				s.log.log.Warn("request log not written; its lines are dropped", "err", err)
			}
			failed = true
		}
	}
	if err := s.file.Close(); err != nil {
		s.log.log.Warn("request log not closed", "err", err)
	}
}

// next is the next line; false when the sink is closing and none is left.
func (s *sink) next() ([]byte, bool) {
	select {
	case line := <-s.lines:
		return line, true
	case <-s.closing:
	}
	select {
	case line := <-s.lines:
		return line, true
	default:
		return nil, false
	}
}

// close waits until what was written is out. A line that comes later still is dropped.
func (s *sink) close() {
	if s != nil {
		close(s.closing)
		<-s.closed
	}
}

// recent keeps the newest lines.
type recent struct {
	mu   sync.Mutex
	ring [recentLines][]byte
	next int
}

// recentLines is how many lines are kept in memory.
const recentLines = 256

func (r *recent) add(line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next%recentLines] = line
	r.next++
}

func (r *recent) lines() (lines [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := max(0, r.next-recentLines); i < r.next; i++ {
		lines = append(lines, r.ring[i%recentLines])
	}
	return lines
}

// both is where slog writes to; it hands over whole lines and reuses their memory.
type both struct {
	recent *recent
	sink   *sink
}

func (b both) Write(line []byte) (int, error) {
	kept := bytes.Clone(line)
	b.recent.add(kept)
	b.sink.write(kept)
	return len(line), nil
}
