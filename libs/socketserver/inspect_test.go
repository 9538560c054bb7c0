package socketserver_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// lookAll pages through the connections and gives their states by id.
func lookAll(t testing.TB, f *fixture, most int) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	states := map[string]string{}
	from := &socketserver.Place{}
	for from != nil {
		page, next, err := socketserver.Look(ctx, f.server, *from, most, func(s socketserver.Seen) ([2]string, bool) {
			return [2]string{s.ID, s.State()}, true
		})
		if err != nil || len(page) > most {
			t.Fatal(len(page), err)
		}
		for _, c := range page {
			if _, twice := states[c[0]]; twice {
				t.Fatalf("%s was seen twice", c[0])
			}
			states[c[0]] = c[1]
		}
		from = next
	}
	return states
}

// Pages of any size show each connection once, over all processors.
func TestLookShowsEachConnectionOnce(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 3})
	ids := map[string]bool{}
	for i := range int32(20) {
		c := f.dial(t)
		c.send(request(i))
		r := f.next(t)
		ids[r.conn.ID] = true
		f.answer(r)
		c.wantAnswer(i)
	}
	for _, most := range []int{1, 3, 7, 20, 100} {
		states := lookAll(t, f, most)
		if len(states) != len(ids) {
			t.Fatalf("pages of %d show %d connections, want %d", most, len(states), len(ids))
		}
		for id := range states {
			if !ids[id] {
				t.Fatalf("there is no %s", id)
			}
		}
	}
}

// What a connection is doing, what it has brought, and how old it is.
func TestStatesOfConnections(t *testing.T) {
	f := start(t)
	begun := time.Now()
	c := f.dial(t)
	c.send(request(1))
	r := f.next(t)
	state := func() string { return lookAll(t, f, 10)[r.conn.ID] }
	if got := state(); got != socketserver.StateInFlight {
		t.Errorf("with a request under way it is %s", got)
	}
	f.answer(r)
	c.wantAnswer(1)
	eventually(t, "it is idle", func() bool { return state() == socketserver.StateIdle })
	found, _, err := socketserver.Look(t.Context(), f.server, socketserver.Place{}, 1, func(s socketserver.Seen) (network.Traffic, bool) {
		if age := s.Age(); age <= 0 || age > time.Since(begun) {
			t.Errorf("it is %s old", age)
		}
		return s.Traffic(), true
	})
	if err != nil || len(found) != 1 || found[0].Receives != 1 || found[0].ReceivedBytes != uint64(len(request(1))) || found[0].SentBytes == 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// An administrator closes one connection: its client sees an orderly end, also with a request under way, the others go
// on, and the reason is counted.
func TestClosedByAdministrator(t *testing.T) {
	f := start(t)
	c, other := f.dial(t), f.dial(t)
	c.send(request(1))
	r := f.next(t)
	closed, _, err := socketserver.Look(t.Context(), f.server, socketserver.Place{}, 1, func(s socketserver.Seen) (string, bool) {
		if s.ID != r.conn.ID {
			return "", false
		}
		s.Close()
		return s.ID, true
	})
	if err != nil || len(closed) != 1 {
		t.Fatal(closed, err)
	}
	c.wantEnd(false)
	f.closedFor(t, network.ReasonClosedByAdministrator, 1)
	other.send(request(2))
	f.answer(f.next(t))
	other.wantAnswer(2)
}

// A loop that does not come round is named, and what was asked of it harms nobody later.
func TestLookAtFrozenLoop(t *testing.T) {
	f, rc, thaw := startFreezing(t, socketserver.ListenerConfig{Processors: 1})
	stuck, _ := freeze(t, f, rc)
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	_, _, err := socketserver.Look(ctx, f.server, socketserver.Place{}, 1, func(socketserver.Seen) (int, bool) { return 0, true })
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "processor 0 does not answer: context deadline exceeded" {
		t.Fatal(err)
	}
	thaw()
	stuck.wantAnswer(0)
	if n := len(lookAll(t, f, 10)); n != 1 {
		t.Errorf("%d connections", n)
	}
	f.server.Close()
	if n := len(lookAll(t, f, 10)); n != 0 {
		t.Errorf("%d connections of a closed server", n)
	}
}

// W3: a connection that moves to another processor takes its age and its counts along.
func TestMovedConnectionsKeepTheirCounts(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{Processors: 2})
	for i := range int32(4) {
		c := f.dial(t)
		c.send(request(i))
		f.answer(f.next(t))
		c.wantAnswer(i)
	}
	f.resize(t, 1)
	f.wantProcessors(t, 1)
	eventually(t, "four connections have one request each", func() bool {
		all, _, err := socketserver.Look(t.Context(), f.server, socketserver.Place{}, 10, func(s socketserver.Seen) (uint64, bool) {
			return s.Traffic().Receives, s.Age() > 0 && s.Traffic().SentBytes > 0
		})
		return err == nil && slices.Equal(all, []uint64{1, 1, 1, 1})
	})
}
