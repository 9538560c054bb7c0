// Package socketservertest has request channels that live in the process of the reactor, for its tests and benchmarks:
// the reactor without anything behind it.
package socketservertest

import (
	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// Echo answers every frame with itself, on the processor's own loop and without allocating.
type Echo struct {
	loops socketserver.PerProcessor[echoLoop]
}

// echoLoop belongs to one processor's goroutine.
type echoLoop struct {
	processor *socketserver.Processor
	batch     []socketserver.Response
	free      *answer
}

// answer is a frame on its way back, and its own completer.
type answer struct {
	loop  *echoLoop
	next  *answer
	frame []byte
}

// AddProcessor makes a processor's loop known.
func (e *Echo) AddProcessor(p *socketserver.Processor) error {
	e.loops.Set(p.ID(), &echoLoop{processor: p})
	return nil
}

// RemoveProcessor forgets it.
func (e *Echo) RemoveProcessor(id int) { e.loops.Set(id, nil) }

// Submit copies the frame into an answer.
func (e *Echo) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	l := e.loops.Of(r.Conn.Processor)
	a := l.get()
	a.frame = append(a.frame[:0], r.Frame...)
	l.batch = append(l.batch, socketserver.Response{Token: r.Conn.Token, Frame: a.frame, Completer: a})
	return true, network.ReasonNone
}

// Flush delivers the pass's answers.
func (e *Echo) Flush(processor int) {
	l := e.loops.Of(processor)
	l.processor.Deliver(l.batch)
	clear(l.batch)
	l.batch = l.batch[:0]
}

// Disconnected has nothing to cancel.
func (e *Echo) Disconnected(int, uint64, bool) {}

func (l *echoLoop) get() *answer {
	a := l.free
	if a == nil {
		return &answer{loop: l}
	}
	l.free, a.next = a.next, nil
	return a
}

// Completed takes the answer back.
func (a *answer) Completed(socketserver.Outcome, int64) {
	a.next = a.loop.free
	a.loop.free = a
}
