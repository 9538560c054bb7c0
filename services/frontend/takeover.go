package frontend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kanal/libs/service"
	"kanal/libs/takeover"
)

// inherit gets the listening sockets that are there already: the service
// manager's (LISTEN_FDS), and those of the front end that this one takes over
// from, which is nil where there is none.
func (s *Service) inherit(ctx context.Context) (*takeover.Predecessor, error) {
	fds, err := takeover.Activated()
	if err != nil {
		return nil, err
	}
	before, err := s.predecessor(ctx)
	if before != nil {
		s.log.Info("taking over", "pid", before.PID, "release", before.Release, "sockets", len(before.Sockets))
		fds = append(fds, before.Sockets...)
	}
	if err == nil {
		err = s.server.Inherit(fds)
	}
	if err != nil {
		takeover.Close(fds)
		before.Close()
		return nil, err
	}
	return before, nil
}

// leavingPatience is how long a front end that ends may still be in the way of
// the one that replaces it.
const leavingPatience = 5 * time.Second

// predecessor asks the old front end, if there is one. One that is ending by
// itself is waited for until it has closed its ports.
func (s *Service) predecessor(ctx context.Context) (*takeover.Predecessor, error) {
	if s.cfg.TakeoverSocket == "" {
		return nil, nil
	}
	if _, err := os.Stat(filepath.Dir(s.cfg.TakeoverSocket)); err != nil {
		return nil, fmt.Errorf("KANAL_TAKEOVER_SOCKET: %w", err)
	}
	for limit := time.Now().Add(leavingPatience); ; {
		p, err := takeover.Ask(s.cfg.TakeoverSocket, service.Release)
		if !errors.Is(err, takeover.ErrRefused) || time.Now().After(limit) || ctx.Err() != nil {
			return p, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// relieve tells the old front end to leave: this one's ports are open.
func (s *Service) relieve(before *takeover.Predecessor) {
	if left := s.server.DropInherited(); len(left) > 0 {
		s.log.Warn("inherited sockets are closed: no listener has their address", "sockets", left)
	}
	if before == nil {
		return
	}
	if err := before.Ready(); err != nil {
		s.log.Warn("the front end before this one may not have heard that it is replaced", "pid", before.PID, "err", err)
	}
}

// settling is how long a front end that was replaced goes on serving after its
// last accept: those who have just connected get their first answers here.
const settling = time.Second

// awaitEnd waits until ctx ends or another front end has taken over; true for
// the latter.
func (s *Service) awaitEnd(ctx context.Context) (replaced bool) {
	if s.cfg.TakeoverSocket == "" {
		<-ctx.Done()
		return false
	}
	door, err := takeover.Open(s.cfg.TakeoverSocket, service.Release, s.log)
	if err == nil {
		defer door.Close()
		err = door.Wait(ctx, openTimeout, s.server.Listening)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("no other front end can take over from this one", "variable", "KANAL_TAKEOVER_SOCKET", "err", err)
		<-ctx.Done()
	}
	return err == nil
}

// settle stops accepting and serves those who are here for a while.
func (s *Service) settle(ctx context.Context) {
	s.server.StopAccepting()
	s.log.Info("another front end has taken over the ports")
	select {
	case <-ctx.Done():
	case <-time.After(settling):
	}
}
