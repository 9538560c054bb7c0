package socketserver

import (
	"context"
	"fmt"
	"iter"
	"time"

	"kanal/libs/network"
)

// Seen is an open connection as its loop shows it to a visitor, valid during the visit.
type Seen struct {
	*Connection
	processor *Processor
	channel   *network.Channel
	of        *connection
}

// What a connection is doing, as Seen.State tells.
const (
	StateHandshake      = "handshake"      // of TLS, or the PROXY header is awaited
	StateAuthenticating = "authenticating" // the client has not proved who it is
	StateIdle           = "idle"           // no request of it is here whole
	StateWaiting        = "waiting"        // its request waits for room in the request channel
	StateInFlight       = "in_flight"      // its request is with the request channel
	StateWriting        = "writing"        // its answer has not reached the socket whole
	StateThrottled      = "throttled"      // answered, and not read from until the throttle time is over
)

// State tells what the connection is doing.
func (s Seen) State() string {
	switch state := s.channel.State(); {
	case !s.channel.Ready():
		return StateHandshake
	case s.channel.Confined():
		return StateAuthenticating
	case s.of.parked:
		return StateWaiting
	case s.channel.Unsent() > 0:
		return StateWriting
	case state.ResponsePending():
		return StateInFlight
	case state == network.MutedAndThrottled:
		return StateThrottled
	}
	return StateIdle
}

// Age is the time since the connection was opened.
func (s Seen) Age() time.Duration { return time.Duration(Now() - s.of.opened) }

// Traffic counts the connection's requests and bytes.
func (s Seen) Traffic() network.Traffic { return s.channel.Traffic() }

// Writing goes over the completers of answers that have not reached the socket whole.
func (s Seen) Writing() iter.Seq[Completer] {
	return func(yield func(Completer) bool) {
		for send := range s.channel.Sends() {
			if completer, is := send.Cookie.(Completer); is && !yield(completer) {
				return
			}
		}
	}
}

// Close closes the connection for an administrator.
func (s Seen) Close() { s.processor.close(s.channel, network.ReasonClosedByAdministrator, nil) }

// Place is where a look at the connections goes on. The zero Place is the beginning.
type Place struct{ Processor, Slot int }

// slotsPerErrand bounds how long a look stops a loop.
const slotsPerErrand = 1024

// Look visits open connections, each on the loop that owns it, a thousand or so a pass, and collects what visit gives and
// wants kept, until there are most of them; then next is where to go on, else nil. Visits are fast and one after the
// other. A connection that opens, closes or moves meanwhile may be missed. The error tells which loop did not answer
// before ctx ended.
func Look[T any](ctx context.Context, s *Server, from Place, most int, visit func(Seen) (found T, keep bool)) (all []T, next *Place, err error) {
	for _, p := range s.Processors() {
		if p.id < from.Processor {
			continue
		}
		if p.id > from.Processor {
			from = Place{Processor: p.id}
		}
		for more := true; more; more = from.Slot > 0 {
			if len(all) >= most {
				return all, &from, nil
			}
			found, slot, err := look(ctx, p, from.Slot, most-len(all), visit)
			if err != nil {
				return nil, nil, fmt.Errorf("processor %d does not answer: %w", p.id, err)
			}
			all, from.Slot = append(all, found...), slot
		}
		from = Place{Processor: p.id + 1}
	}
	return all, nil, nil
}

// look is one errand of a Look; from slot 0 on there is nothing left of a loop that has ended.
func look[T any](ctx context.Context, p *Processor, from, most int, visit func(Seen) (T, bool)) ([]T, int, error) {
	type answer struct {
		found []T
		next  int
	}
	answers := make(chan answer, 1) // so that the loop never waits
	sent := p.send(func() {
		var a answer
		a.next = p.sel.Scan(from, slotsPerErrand, func(ch *network.Channel) bool {
			c := ch.Attachment.(*connection)
			if found, keep := visit(Seen{&c.Connection, p, ch, c}); keep {
				a.found = append(a.found, found)
			}
			return len(a.found) < most
		})
		answers <- a
	})
	if !sent {
		return nil, 0, nil
	}
	select {
	case a := <-answers:
		return a.found, a.next, nil
	case <-p.gone:
		return nil, 0, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// runErrands does what others want to be done on the loop.
func (p *Processor) runErrands() {
	for _, errand := range p.errands {
		errand()
	}
	p.errands = nil
}
