// Package logtest has a log.Storage in memory, with faults, for tests of what is built on logs.
package logtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"kanal/libs/log"
)

// Faults says how often things go wrong, each as a probability between 0 and 1.
type Faults struct {
	LostRequest float64 // a publish that never arrives
	LostAck     float64 // a publish that is stored, but not acknowledged
	Delayed     float64 // a publish that is given up and arrives later
	LostFeed    float64 // a record that the feed does not announce
	Behind      float64 // a read answered by a replica that lacks the last record
}

// errLost is what a writer sees of a lost or delayed publish: nothing, until his patience ends.
var errLost = errors.New("logtest: no answer")

// Stream is a stream in memory. Writer gives each writer a Storage on it.
type Stream struct {
	mu        sync.Mutex
	random    *rand.Rand
	faults    Faults
	records   []stored // at index sequence-1
	first     uint64   // lowest sequence that is not purged
	followers map[int]func(uint64)
	next      int
	delayed   []func()
}

type stored struct {
	log.Record
	checkpoint bool
}

// NewStream makes an empty stream; the seed decides when faults happen.
func NewStream(seed uint64, faults Faults) *Stream {
	return &Stream{random: rand.New(rand.NewPCG(seed, 1)), faults: faults, first: 1, followers: map[int]func(uint64){}}
}

// SetFaults changes how often things go wrong from now on.
func (s *Stream) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Records returns what is stored, purged records left out.
func (s *Stream) Records() []log.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rs []log.Record
	for _, r := range s.records[s.first-1:] {
		rs = append(rs, r.Record)
	}
	return rs
}

func (s *Stream) happens(p float64) bool { return p > 0 && s.random.Float64() < p }

// Append is conditional, as in JetStream, and fails as the faults have it.
func (s *Stream) Append(_ context.Context, checkpoint bool, record []byte, last uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrive()
	switch {
	case s.happens(s.faults.LostRequest):
		return errLost
	case s.happens(s.faults.Delayed):
		record = append([]byte(nil), record...)
		s.delayed = append(s.delayed, func() { _ = s.store(checkpoint, record, last) }) // refused late: nobody hears it
		return errLost
	}
	if err := s.store(checkpoint, record, last); err != nil {
		return err
	}
	if s.happens(s.faults.LostAck) {
		return errLost
	}
	return nil
}

// arrive lets some of the delayed publishes in, in any order.
func (s *Stream) arrive() {
	for len(s.delayed) > 0 && s.random.IntN(2) == 0 {
		i := s.random.IntN(len(s.delayed))
		f := s.delayed[i]
		s.delayed = append(s.delayed[:i], s.delayed[i+1:]...)
		f()
	}
}

func (s *Stream) store(checkpoint bool, record []byte, last uint64) error {
	if last != uint64(len(s.records)) {
		return log.ErrRefused
	}
	r := log.Record{Sequence: last + 1, Time: time.Now(), Data: append([]byte(nil), record...)}
	s.records = append(s.records, stored{r, checkpoint})
	for _, f := range s.followers {
		if !s.happens(s.faults.LostFeed) {
			go f(r.Sequence)
		}
	}
	return nil
}

// Read shows what is stored, or what a replica that is behind has of it.
func (s *Stream) Read(_ context.Context, first uint64, maxBytes int, f func(log.Record) error) (bool, error) {
	s.mu.Lock()
	end := uint64(len(s.records))
	if end > 0 && s.happens(s.faults.Behind) {
		end--
	}
	var rs []stored
	bytes := 0
	first = max(first, s.first)
	for first <= end && bytes < maxBytes {
		rs = append(rs, s.records[first-1])
		bytes += len(s.records[first-1].Data)
		first++
	}
	s.mu.Unlock()
	for _, r := range rs {
		if err := f(r.Record); err != nil {
			return false, err
		}
	}
	return first <= end, nil
}

// ReadLeader shows what is stored.
func (s *Stream) ReadLeader(_ context.Context, sequence uint64) (log.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sequence < s.first || sequence > uint64(len(s.records)) {
		return log.Record{}, log.ErrNotFound
	}
	return s.records[sequence-1].Record, nil
}

// LastCheckpoint is the newest record stored as one.
func (s *Stream) LastCheckpoint(context.Context) (log.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.records); i >= int(s.first); i-- {
		if s.records[i-1].checkpoint {
			return s.records[i-1].Record, nil
		}
	}
	return log.Record{}, log.ErrNotFound
}

// Purge drops what is below a sequence.
func (s *Stream) Purge(_ context.Context, below uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = max(s.first, min(below, uint64(len(s.records))))
	return nil
}

// Follow announces records, in no particular order.
func (s *Stream) Follow(f func(uint64)) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.next
	s.next++
	s.followers[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.followers, id)
	}, nil
}

// Interruptions is none: lost feeds are noticed by their silence.
func (s *Stream) Interruptions() uint64 { return 0 }

// MaxRecord is NATS' default max_payload, less a little.
func (s *Stream) MaxRecord() int { return 1<<20 - 512 }
