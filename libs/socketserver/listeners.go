package socketserver

import (
	"fmt"
	"slices"
	"time"

	"kanal/libs/network"
)

func (s *Server) acceptor(listener string) *acceptor {
	i := slices.IndexFunc(s.acceptors, func(a *acceptor) bool { return a.listener.Name == listener })
	if i < 0 {
		return nil
	}
	return s.acceptors[i]
}

// add makes a listener's acceptor and processors; an error leaves nothing behind.
func (s *Server) add(l ListenerConfig) (*acceptor, error) {
	a := &acceptor{
		listener: l, pool: newPool(s.assignment), counts: s.metrics.ofListener(&l), log: s.log.With("listener", l.Name),
		quotas: s.quotas, quota: s.quotas.add(&l), orderExcess: s.orderExcess, queues: s.metrics.queues,
	}
	var err error
	if a.tls, err = newListenerTLS(&l, s.handshakes, s.metrics, a.log); err == nil {
		err = s.grow(a, l.Processors)
	}
	if err != nil {
		s.quotas.remove(a.quota)
		s.metrics.forgetListener(l.Name)
		return nil, err
	}
	s.acceptors = append(s.acceptors, a)
	return a, nil
}

// AddListener adds a listener, of a running server with its ports open (W7). An error leaves nothing behind.
func (s *Server) AddListener(l ListenerConfig) error {
	l = l.withDefaults()
	if err := l.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayChange(); err != nil {
		return err
	}
	if s.acceptor(l.Name) != nil || s.leaving[l.Name] {
		return fmt.Errorf("listener %q: there is one already, or its connections are still being closed", l.Name)
	}
	a, err := s.add(l)
	if err != nil || !s.started {
		return err
	}
	if err := s.open(a); err != nil {
		s.takeOut(a)
		s.end(s.processorsOf(a))
		s.forget(a)
		return err
	}
	return nil
}

func (s *Server) mayChange() error {
	if s.closed || s.draining {
		return ErrClosed
	}
	return nil
}

// open starts a listener of a running server: processors first (B4).
func (s *Server) open(a *acceptor) error {
	bound := a.bind(s.inherited)
	for _, p := range s.processorsOf(a) {
		s.run(p)
	}
	if bound != nil {
		return bound
	}
	s.note(a)
	if err := a.start(); err != nil {
		return fmt.Errorf("listener %s: %w", a.listener.Name, err)
	}
	return nil
}

// RemoveListener closes a listener's ports and lets the requests under way be answered up to a limit; all its connections are
// closed as listener_removed. Then its processors have ended, and its name is free (W8).
func (s *Server) RemoveListener(name string) error {
	a, err := s.beginRemoval(name)
	if a == nil {
		return err
	}
	s.awaitDrained(a)
	s.end(s.processorsOf(a))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leaving, name)
	s.forget(a)
	return nil
}

// beginRemoval gives the listener that is to be waited for.
func (s *Server) beginRemoval(name string) (*acceptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.acceptor(name)
	if a == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoListener, name)
	}
	if err := s.mayChange(); err != nil {
		return nil, err
	}
	s.takeOut(a)
	if !s.started {
		s.drop(s.processorsOf(a))
		s.forget(a)
		return nil, nil
	}
	s.leaving[name] = true
	return a, nil
}

// takeOut ends a listener's accepting; the quota first, or the acceptor could wait for a slot for ever (C11, D17).
func (s *Server) takeOut(a *acceptor) {
	a.removed.Store(true)
	s.quotas.remove(a.quota)
	a.stop()
	s.acceptors = slices.DeleteFunc(s.acceptors, func(other *acceptor) bool { return other == a })
	for _, p := range s.processorsOf(a) {
		p.order(orders{drain: true, reason: network.ReasonListenerRemoved})
	}
}

func (s *Server) awaitDrained(a *acceptor) {
	limit := time.After(s.removalLimit)
	for _, p := range s.processorsOf(a) {
		select {
		case <-p.drained:
		case <-limit:
			return
		}
	}
}

// forget lets go of what is left of a listener whose processors are gone.
func (s *Server) forget(a *acceptor) {
	s.metrics.forgetListener(a.listener.Name)
	for e := range s.addresses {
		if e.listener == a.listener.Name {
			delete(s.addresses, e)
		}
	}
}

// processorsOf are a listener's, those that retire included.
func (s *Server) processorsOf(a *acceptor) []*Processor {
	return slices.DeleteFunc(slices.Clone(s.Processors()), func(p *Processor) bool { return p.pool != a.pool })
}
