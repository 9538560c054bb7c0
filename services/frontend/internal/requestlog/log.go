// Package requestlog writes a line of JSON for requests that have ended: all of them, every hundredth, the slow ones, or
// those of some clients, apis and principals (kafka.request.logger, M11, R10). It may be changed at any time, and costs
// nothing while it is off. There is nothing of requests' bodies in it: a front end does not read them.
package requestlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// Outputs that are no file.
const (
	Off    = "off"
	Memory = "memory" // only what Recent gives
	Stderr = "stderr"
)

// Config says what is written and where to.
type Config struct {
	Output string        // Off (also if empty), Memory, Stderr, or the path of a file that lines are appended to
	Sample int           // of what the others let through, one of so many; all if 0
	Slow   time.Duration // only what took at least so long; the waiting of long polls does not count
	// Only requests of these, if any are named.
	Clients    []string // client ids
	APIs       []string // Kafka's names
	Principals []string // such as User:alice
}

// Validate reports all that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Sample < 0 {
		errs = append(errs, fmt.Errorf("request log: one of %d requests", c.Sample))
	}
	if c.Slow < 0 {
		errs = append(errs, fmt.Errorf("request log: slow from %v on", c.Slow))
	}
	for _, name := range c.APIs {
		if _, known := apiKey(name); !known {
			errs = append(errs, fmt.Errorf("request log: there is no api %q", name))
		}
	}
	return errors.Join(errs...)
}

// apiKey finds an api by its name.
func apiKey(name string) (protocol.APIKey, bool) {
	for key := range keys {
		if key.Known() && key.String() == name {
			return key, true
		}
	}
	return 0, false
}

// keys is above all api keys.
const keys protocol.APIKey = 128

// Log is the request log of a front end; it is a requestchannel.Recorder.
type Log struct {
	log            *slog.Logger
	reg            prometheus.Registerer
	lines, dropped prometheus.Counter
	now            atomic.Pointer[settings] // nil: off
	changing       sync.Mutex               // of now
}

// settings are one Config at work.
type settings struct {
	Config
	apis   []bool // by key; nil: all
	out    *slog.Logger
	sink   *sink // nil: none
	recent *recent
	passed atomic.Uint64 // what the filters let through
}

// New makes a log that is off. Its own troubles go to log.
func New(log *slog.Logger, reg prometheus.Registerer) *Log {
	l := &Log{
		log: log, reg: reg,
		lines:   prometheus.NewCounter(prometheus.CounterOpts{Name: "kanal_request_log_lines_total", Help: "Lines of the request log."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "kanal_request_log_dropped_total", Help: "Lines of the request log that its output did not take in time, or not at all."}),
	}
	reg.MustRegister(l.lines, l.dropped)
	return l
}

// Update changes the log from the next request on; lines so far go where they belong. On an error nothing changes.
func (l *Log) Update(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	next, err := l.settings(c)
	if err != nil {
		return err
	}
	if old := l.now.Swap(next); old != nil {
		old.sink.close()
	}
	return nil
}

func (l *Log) settings(c Config) (*settings, error) {
	if c.Output == "" || c.Output == Off {
		return nil, nil
	}
	s := &settings{Config: c, recent: new(recent)}
	s.Sample = max(s.Sample, 1)
	if len(c.APIs) > 0 {
		s.apis = make([]bool, keys)
		for _, name := range c.APIs {
			key, _ := apiKey(name)
			s.apis[key] = true
		}
	}
	var err error
	if s.sink, err = openSink(c.Output, l); err != nil {
		return nil, err
	}
	s.out = slog.New(slog.NewJSONHandler(both{s.recent, s.sink}, nil))
	return s, nil
}

// Close ends the log and waits until its lines are written.
func (l *Log) Close() {
	_ = l.Update(Config{}) // off is always possible
	l.reg.Unregister(l.lines)
	l.reg.Unregister(l.dropped)
}

// Recent gives the newest lines, the oldest first; none while the log is off.
func (l *Log) Recent() [][]byte {
	if s := l.now.Load(); s != nil {
		return s.recent.lines()
	}
	return nil
}

// Wants implements requestchannel.Recorder.
func (l *Log) Wants(key protocol.APIKey, took time.Duration) bool {
	s := l.now.Load()
	return s != nil && took >= s.Slow && (s.apis == nil || key >= 0 && s.apis[key])
}

// Record implements requestchannel.Recorder.
func (l *Log) Record(e *requestchannel.Ended) {
	s := l.now.Load()
	if s == nil || s.Slow > 0 && took(e) < s.Slow {
		return
	}
	r := describe(e)
	if !passes(s.Clients, r.client) || !passes(s.Principals, r.origin.Principal) {
		return
	}
	if (s.passed.Add(1)-1)%uint64(s.Sample) != 0 {
		return
	}
	l.lines.Inc()
	s.out.LogAttrs(context.Background(), slog.LevelInfo, "request ended", r.attrs()...)
}

// took is how long a request took, without what a long poll waits for on purpose.
func took(e *requestchannel.Ended) time.Duration {
	if e.Parked {
		return e.Total - e.Remote
	}
	return e.Total
}

func passes(filter []string, value string) bool {
	return len(filter) == 0 || slices.Contains(filter, value)
}
