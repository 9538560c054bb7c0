package frontend

import (
	"slices"
	"sync"
	"sync/atomic"

	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
)

// seat is what the front end keeps for one processor.
type seat struct {
	processor *socketserver.Processor
	call      requestchannel.Call     // reused by the processor's loop
	responses []socketserver.Response // reused by the dispatcher
}

// seats are read by loops and the dispatcher without a lock.
type seats struct {
	mu sync.Mutex              // held while a processor comes or goes
	by atomic.Pointer[[]*seat] // by processor, nil where there is none; replaced as a whole
}

// of finds a processor's seat, nil when it is gone.
func (s *seats) of(processor int) *seat {
	by := s.by.Load()
	if by == nil || processor >= len(*by) {
		return nil
	}
	return (*by)[processor]
}

func (s *seats) set(processor int, to *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var by []*seat
	if known := s.by.Load(); known != nil {
		by = slices.Clone(*known)
	}
	if more := processor + 1 - len(by); more > 0 {
		by = append(by, make([]*seat, more)...)
	}
	by[processor] = to
	s.by.Store(&by)
}

// AddProcessor implements socketserver.RequestChannel.
func (q *requests) AddProcessor(p *socketserver.Processor) error {
	q.seats.set(p.ID(), &seat{processor: p})
	if err := q.channel.AddProcessor(p.ID()); err != nil {
		q.seats.set(p.ID(), nil)
		return err
	}
	return nil
}

// RemoveProcessor implements socketserver.RequestChannel.
func (q *requests) RemoveProcessor(id int) {
	q.channel.RemoveProcessor(id)
	q.seats.set(id, nil)
}
