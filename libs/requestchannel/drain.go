package requestchannel

import (
	"context"
	"time"
)

func (s *Server) forget(in *Incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := (requestKey{in.FrontEnd, in.ID}); s.inflight[key] == in { // else: redelivered to us meanwhile
		delete(s.inflight, key)
	}
	if s.idle != nil && len(s.inflight) == 0 {
		close(s.idle)
		s.idle = nil
	}
	s.cfg.Metrics.done()
}

func (s *Server) parkedOne() { s.cfg.Metrics.park() }

// drain finishes what is held. Long polls are cancelled: their handlers answer
// at once with what they have.
func (s *Server) drain() {
	s.mu.Lock()
	idle := make(chan struct{})
	if len(s.inflight) == 0 {
		close(idle)
	} else {
		s.idle = idle
	}
	for _, in := range s.inflight {
		if in.isParked() {
			in.cancel(context.Canceled)
		}
	}
	held := len(s.inflight)
	s.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(s.cfg.DrainTimeout):
		s.log.Warn("stopped with requests in hand; front ends will dispatch them again", "requests", held, "waited", s.cfg.DrainTimeout)
		s.cancelAll()
	}
	s.presence.gone()
}

func (s *Server) cancelAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.inflight {
		in.cancel(context.Canceled)
	}
}

func (in *Incoming) isParked() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.parked
}
