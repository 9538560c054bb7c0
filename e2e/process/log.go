package process

import (
	"bytes"
	"sync"
)

// logLimit bounds what is kept of a log, in bytes: its beginning is dropped.
const logLimit = 4 << 20

// log collects what a process writes.
type log struct {
	mu      sync.Mutex
	b       bytes.Buffer
	dropped bool
	race    bool // the race detector has reported, perhaps in what was dropped
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.race = l.race || bytes.Contains(p, []byte("WARNING: DATA RACE"))
	if l.b.Len() > logLimit {
		l.b.Next(logLimit / 2)
		l.dropped = true
	}
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		return "[...] " + l.b.String()
	}
	return l.b.String()
}

func (l *log) raced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.race
}

// tail is the end of a text, in bytes.
func tail(s string, n int) string {
	if len(s) > n {
		return "[...] " + s[len(s)-n:]
	}
	return s
}
