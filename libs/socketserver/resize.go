package socketserver

import (
	"fmt"
	"slices"
)

// Resize sets the number of a listener's processors, to any number from 1 on (num.network.threads, W3 without its rule
// of half and double). It returns at once. New processors get connections from now on; those that are too many hand
// theirs on as they become quiet, whose clients notice nothing, and end with the last. An error changes nothing.
func (s *Server) Resize(listener string, processors int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayChange(); err != nil {
		return err
	}
	a := s.acceptor(listener)
	if a == nil {
		return fmt.Errorf("%w: %q", ErrNoListener, listener)
	}
	if processors < 1 {
		return fmt.Errorf("listener %q: %d processors", listener, processors)
	}
	if more := processors - len(a.pool.processors()); more > 0 {
		return s.grow(a, more)
	}
	s.shrink(a, processors)
	return nil
}

// grow adds processors; an error leaves none of them behind.
func (s *Server) grow(a *acceptor, n int) error {
	var added []*Processor
	for range n {
		p, err := s.processors.add(func(id int) (*Processor, error) { return s.newProcessor(id, a) })
		if err != nil {
			s.drop(added)
			return fmt.Errorf("listener %s: processor: %w", a.listener.Name, err)
		}
		added = append(added, p)
	}
	if s.started && len(a.pool.processors()) > 0 { // else whoever starts the listener does
		for _, p := range added {
			s.run(p)
		}
	}
	a.pool.set(slices.Concat(a.pool.processors(), added))
	return nil
}

// shrink lets the last processors retire: first nobody chooses them any more.
func (s *Server) shrink(a *acceptor, n int) {
	all := a.pool.processors()
	a.pool.set(slices.Clone(all[:n]))
	if !s.started {
		s.drop(all[n:])
		return
	}
	for _, p := range all[n:] {
		p.order(orders{retire: true})
	}
}

// dismiss lets nothing refer to a processor any more whose loop has ended: not the request channel, not the metrics
// (W9).
func (s *Server) dismiss(p *Processor) {
	s.rc.RemoveProcessor(p.id)
	s.metrics.forgetProcessor(p.listener.Name, p.id)
	s.processors.remove(p)
	close(p.gone)
}
