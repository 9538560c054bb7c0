package socketserver

import (
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/epoll"
	"kanal/libs/network"
)

// Acceptor takes the connections of one listener's ports and hands them to its processors in turn (A7).
type acceptor struct {
	// immutable after New
	listener ListenerConfig
	pool     *pool
	log      *slog.Logger
	counts   *listenerMetrics
	quotas   *connectionQuotas
	quota    *listenerQuota
	tls      *listenerTLS // nil without
	queues   *acceptQueues
	// orderExcess asks the processors of the other listeners to close excess connections.
	orderExcess func()

	// set by bind and start, before the loop
	sockets []listening
	poller  *epoll.Poller
	queue   *acceptQueue
	stopped chan struct{} // closed to stop
	ended   chan struct{} // closed by the loop

	removed atomic.Bool // the listener goes, and not the server

	// owned by the loop
	next     uint // of the processors' round
	pause    time.Duration
	held     throttles // refused sockets that are kept open for a while; the token is the descriptor, which is ours alone
	refusals refusals
}

func (a *acceptor) bind(from inherited) (err error) {
	a.sockets, err = a.listener.bind(from)
	return err
}

// start opens the ports and begins to accept; the processors must be running (B4). Whatever it returns, stop is called.
func (a *acceptor) start() (err error) {
	if a.poller, err = epoll.New(); err != nil {
		return err
	}
	for i, s := range a.sockets {
		if err := s.listen(a.listener.Backlog); err != nil {
			return err
		}
		if err := a.poller.Add(s.fd, epoll.Readable, uint64(i+1)); err != nil {
			return err
		}
	}
	a.queue = a.queues.open(&a.listener, a.sockets, a.log)
	a.stopped, a.ended = make(chan struct{}), make(chan struct{})
	a.tls.watch()
	go a.run()
	return nil
}

// stop ends the loop, also one that waits for room in a full queue (B11), and closes the ports.
func (a *acceptor) stop() {
	if a.ended != nil {
		close(a.stopped)
		a.poller.Wake()
		<-a.ended
		a.tls.stop()
	}
	if a.queue != nil {
		a.queues.close(a.listener.Name, a.queue)
	}
	if a.poller != nil {
		_ = a.poller.Close()
	}
	closeAll(a.sockets)
	a.sockets, a.poller, a.queue, a.ended = nil, nil, nil, nil
}

func (a *acceptor) run() {
	defer close(a.ended)
	defer a.dropAllHeld()
	for !a.isStopped() {
		a.poller.ClearWake()
		if a.isStopped() {
			return
		}
		a.acceptReady()
		a.closeHeld()
		a.rest()
	}
}

func (a *acceptor) isStopped() bool {
	select {
	case <-a.stopped:
		return true
	default:
		return false
	}
}

func (a *acceptor) acceptReady() {
	timeout := epoll.Forever
	if next, held := a.nextHeld(); held {
		timeout = next
	}
	events, err := a.poller.Wait(timeout)
	if err != nil {
		a.failed(err)
	}
	for i := range events {
		a.acceptFrom(&a.sockets[events[i].Token()-1])
	}
}

// acceptsPerTurn is how many connections one port may bring before the next port has its turn.
const acceptsPerTurn = 64

func (a *acceptor) acceptFrom(s *listening) {
	for range acceptsPerTurn {
		if a.isStopped() {
			return
		}
		fd, remote, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			a.pause = 0
			a.counts.accepted.Inc()
			a.admit(socket{fd: fd, remote: addrPort(remote), broker: s.broker})
		case err == unix.EAGAIN:
			return
		case err != unix.EINTR && err != unix.ECONNABORTED:
			a.failed(os.NewSyscallError("accept4", err))
			return
		}
	}
}

// The pauses after failed accepts. Without them a missing descriptor would spin, because the port stays readable (C10).
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

func (a *acceptor) failed(err error) {
	a.counts.acceptErrs.Inc()
	if a.pause == 0 {
		a.log.Warn("connection not accepted", "err", err, "descriptors_missing", errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE))
	}
	a.pause = min(max(2*a.pause, firstPause), lastPause)
}

func (a *acceptor) rest() {
	if a.pause == 0 {
		return
	}
	a.queue.look()
	timer := time.NewTimer(a.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.stopped:
	}
}

// assign gives a socket to one of the processors. Where none has room it waits for the first that has, and not for the
// last it tried (unlike C5): one frozen processor does not stop the acceptor while others have room.
func (a *acceptor) assign(s socket) {
	if a.pool.assign(&a.next, s) {
		return
	}
	a.counts.blocked.start()
	defer a.resumed()
	for !a.pool.assign(&a.next, s) {
		select {
		case <-a.pool.room:
		case <-a.stopped:
			s.close()
			a.counts.closed[a.farewell()].Inc()
			return
		}
	}
}

// resumed ends the acceptor's waiting for a processor or a slot, when the kernel's queue is at its longest.
func (a *acceptor) resumed() {
	a.counts.blocked.stop()
	a.queue.look()
}

// farewell is why a socket is closed that is with an acceptor that stops.
func (a *acceptor) farewell() network.CloseReason {
	if a.removed.Load() {
		return network.ReasonListenerRemoved
	}
	return network.ReasonShutdown
}
