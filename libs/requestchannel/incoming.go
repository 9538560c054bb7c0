package requestchannel

import (
	"context"
	"sync"
	"time"
)

// Incoming is a request that a Server has taken. It is the context of its own
// handling: Done closes when the client is gone, the front end has stopped
// waiting, or the server shuts down. Exactly one of Send, NoOp, Close,
// Redirect and Refuse ends it; later ones are ignored.
type Incoming struct {
	Request
	// Received is when the server got it.
	Received time.Time

	server *Server
	reply  string
	end    time.Time // the front end's deadline by our clock
	life   uint64    // of the server when it took this

	mu       sync.Mutex
	started  time.Time
	remote   time.Duration
	parked   bool
	answered bool
	done     chan struct{} // made when somebody waits
	err      error
	timer    *time.Timer
}

var _ context.Context = (*Incoming)(nil)

// Deadline implements context.Context.
func (in *Incoming) Deadline() (time.Time, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.end, true
}

// Value implements context.Context.
func (in *Incoming) Value(any) any { return nil }

// Err implements context.Context.
func (in *Incoming) Err() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil && time.Now().After(in.end) {
		return context.DeadlineExceeded
	}
	return in.err
}

// Done implements context.Context. Most requests are answered without anybody
// waiting, so channel and timer are made on the first call only.
func (in *Incoming) Done() <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.done == nil {
		in.done = make(chan struct{})
		if in.err != nil {
			close(in.done)
		} else {
			in.timer = time.AfterFunc(time.Until(in.end), func() { in.cancel(context.DeadlineExceeded) })
		}
	}
	return in.done
}

func (in *Incoming) cancel(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return
	}
	in.err = err
	if in.done != nil {
		close(in.done)
		in.timer.Stop()
	}
}

// Overtaken tells whether the request may have been given to another instance
// since it was taken: this process slept, or was cut off from NATS. What is not
// safe to repeat is not to be executed then. Ask in the same step as the
// decision that a conditional write rests on: whoever sleeps between that step
// and the write has the write refused, if another has written meanwhile.
func (in *Incoming) Overtaken() bool {
	return in.server != nil && in.server.presence.overtaken(in.life) // nil: made by hand
}

// Overtaken is Incoming.Overtaken for the context of a request; other contexts
// are never overtaken.
func Overtaken(ctx context.Context) bool {
	in, ok := ctx.(interface{ Overtaken() bool })
	return ok && in.Overtaken()
}

// Start stamps the moment the request begins to run.
func (in *Incoming) Start() { in.started = time.Now() }

// Waited adds to the remote time: waiting for storage or other members.
func (in *Incoming) Waited(d time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.remote += d
}

// Park tells the front end that this long poll now only waits, for at most d:
// it stops counting against the window, and less is granted to its answer from
// then on. If that has more, Refuse: the request comes again, with a grant.
// Called at most once, before waiting.
func (in *Incoming) Park(d time.Duration) {
	in.mu.Lock()
	if in.parked || in.answered {
		in.mu.Unlock()
		return
	}
	in.parked = true
	if in.Granted = min(in.Granted, ParkedGrant); in.NothingParked {
		in.Granted = 1
	}
	in.end = time.Now().Add(d + parkedGrace)
	if in.done != nil && in.err == nil {
		in.timer.Reset(time.Until(in.end))
	}
	in.mu.Unlock()
	in.server.parkedOne()
	in.server.publish(in, &Response{Kind: Parked, Deadline: d + parkedGrace})
}

// parkedGrace is what the front end grants a long poll above its own wait, for
// the way of the answer.
const parkedGrace = 5 * time.Second

// Answer is what Send needs beside the frame.
type Answer struct {
	Throttle time.Duration
	// Append appends the response frame: header and body, without size bytes.
	Append func(b []byte) []byte
}

// Send answers with a frame.
func (in *Incoming) Send(a Answer) { in.finish(&Response{Kind: Send, Throttle: a.Throttle}, a.Append) }

// NoOp ends the request without an answer (acks=0, M8).
func (in *Incoming) NoOp() { in.finish(&Response{Kind: NoOp}, nil) }

// Close asks the front end to close the connection.
func (in *Incoming) Close() { in.finish(&Response{Kind: CloseConnection}, nil) }

// Redirect sends the request to the instance that holds what it is about; an
// instance never names itself.
func (in *Incoming) Redirect(instance string) {
	in.finish(&Response{Kind: Redirect, Target: instance}, nil)
}

// Refuse tells that the request was not and will not be executed here.
func (in *Incoming) Refuse() { in.finish(&Response{Kind: NotTaken}, nil) }

// Finish ends a request that its handler left without an outcome: the
// connection closes, because its next request cannot be served before this one
// has ended. Where nobody waits for the outcome any more, none is sent.
func (in *Incoming) Finish() {
	if in.Err() == nil {
		in.Close()
	} else if in.endOnce(new(Response)) {
		in.server.forget(in)
	}
}

func (in *Incoming) finish(r *Response, frame func([]byte) []byte) {
	if !in.endOnce(r) {
		return
	}
	if frame == nil {
		in.server.publish(in, r)
	} else {
		in.server.publishFrame(in, r, frame)
	}
	in.server.forget(in)
}

// endOnce marks the request answered and stamps the handler's times; false when
// it was answered before.
func (in *Incoming) endOnce(r *Response) bool {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.answered {
		return false
	}
	in.answered = true
	if in.started.IsZero() {
		in.started = now
	}
	r.Queue = in.started.Sub(in.Received)
	r.Remote = in.remote
	r.Local = max(0, now.Sub(in.started)-in.remote)
	in.server.served.add(in.APIKey, r)
	if in.err == nil {
		in.err = context.Canceled
		if in.done != nil {
			close(in.done)
			in.timer.Stop()
		}
	}
	return true
}
