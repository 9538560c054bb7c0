// Package socketservertest has request channels that live in the process of the reactor, for its tests and benchmarks:
// the reactor without anything behind it.
package socketservertest

import (
	"slices"
	"sync"
	"sync/atomic"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// Echo answers every frame with itself, on the processor's own loop and without allocating.
type Echo struct {
	mu    sync.Mutex                  // held while a processor comes or goes
	loops atomic.Pointer[[]*echoLoop] // by processor; replaced as a whole
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
	e.set(p.ID(), &echoLoop{processor: p})
	return nil
}

// RemoveProcessor forgets it.
func (e *Echo) RemoveProcessor(id int) { e.set(id, nil) }

func (e *Echo) set(id int, l *echoLoop) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var loops []*echoLoop
	if known := e.loops.Load(); known != nil {
		loops = slices.Clone(*known)
	}
	if more := id + 1 - len(loops); more > 0 {
		loops = append(loops, make([]*echoLoop, more)...)
	}
	loops[id] = l
	e.loops.Store(&loops)
}

func (e *Echo) loop(processor int) *echoLoop { return (*e.loops.Load())[processor] }

// Submit copies the frame into an answer.
func (e *Echo) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	l := e.loop(r.Conn.Processor)
	a := l.get()
	a.frame = append(a.frame[:0], r.Frame...)
	l.batch = append(l.batch, socketserver.Response{Token: r.Conn.Token, Frame: a.frame, Completer: a})
	return true, network.ReasonNone
}

// Flush delivers the pass's answers.
func (e *Echo) Flush(processor int) {
	l := e.loop(processor)
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
