// Package retention sees to it that topics keep no more than they should: from time to time it goes through the logs that this
// instance holds, opens those of which something may have to go, and has them delete it. Its Kafka counterpart is LogManager's
// cleanupLogs.
package retention

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"kanal/libs/cluster"
	"kanal/services/records/internal/holder"
	"kanal/services/records/internal/topiclog"
)

// logTimeout bounds the work on one log.
const logTimeout = 30 * time.Second

// Holder is the table of logs.
type Holder interface {
	Elsewhere(topic string, index int32) (string, bool)
	IsOpen(t *cluster.Topic, index int32) bool
	Look(t *cluster.Topic, index int32) *holder.Opening
}

// Sweeper goes through the logs. It is owned by Run's goroutine.
type Sweeper struct {
	topics func() []*cluster.Topic
	holder Holder
	log    *slog.Logger
	now    func() time.Time
	due    map[key]due
}

type key struct {
	topic [16]byte
	index int32
}

// due is when a log that is closed has to be looked at, under the configs of one revision of its topic.
type due struct {
	revision uint64
	at       time.Time // zero: not before it was written to, and then it is open
}

// New makes a sweeper of the topics that a function lists.
func New(topics func() []*cluster.Topic, h Holder, log *slog.Logger) *Sweeper {
	return &Sweeper{topics: topics, holder: h, log: log, now: time.Now, due: map[key]due{}}
}

// Run sweeps at an interval until ctx ends (log.retention.check.interval.ms); never if there is none.
func (s *Sweeper) Run(ctx context.Context, interval time.Duration) {
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.sweep(ctx)
		}
	}
}

// sweep goes through all logs, one at a time: there is no hurry, and clients come first.
func (s *Sweeper) sweep(ctx context.Context) {
	before := s.due
	s.due = make(map[key]due, len(before))
	for _, t := range s.topics() {
		for index := range t.Logs {
			if ctx.Err() != nil {
				return
			}
			k := key{t.ID, index}
			if _, elsewhere := s.holder.Elsewhere(t.Name, index); elsewhere {
				continue // whoever held it meanwhile knows better: it is looked at when it comes back
			}
			if d, ok := before[k]; ok && !s.isDue(t, index, d) {
				s.due[k] = d
				continue
			}
			if d, ok := s.tend(ctx, t, index); ok {
				s.due[k] = d
			}
		}
	}
}

func (s *Sweeper) isDue(t *cluster.Topic, index int32, d due) bool {
	return d.revision != t.Revision || s.holder.IsOpen(t, index) || !d.at.IsZero() && !s.now().Before(d.at)
}

// tend applies a topic's retention to one log; false if that has to be tried again.
func (s *Sweeper) tend(ctx context.Context, t *cluster.Topic, index int32) (due, bool) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	keep := Of(t)
	l, err := s.holder.Look(t, index).Wait(ctx)
	if err == nil {
		err = l.Retain(ctx, keep)
	}
	if err != nil {
		s.log.Debug("retention is tried again", "topic", t.Name, "log", index, "err", err)
		return due{}, false
	}
	d := due{revision: t.Revision}
	d.at, _ = l.Expiry(keep)
	return d, true
}

// Of is the retention of a topic.
func Of(t *cluster.Topic) topiclog.Retention {
	if !strings.Contains(t.Config("cleanup.policy"), "delete") {
		return topiclog.KeepAll
	}
	return topiclog.Retention{Time: millis(t.ConfigInt("retention.ms")), Bytes: t.ConfigInt("retention.bytes")}
}

// millis is a duration, for ever where it would be longer than durations are.
func millis(n int64) time.Duration {
	if d := time.Duration(n) * time.Millisecond; d.Milliseconds() == n {
		return d
	}
	return -1
}
