package epoll

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wakeToken marks the eventfd among the events; nobody may add a descriptor under it.
const wakeToken = 0

// The loop's state, as a waker sees it.
const (
	running  int32 = iota // at work: will look at its doors before it sleeps
	notified              // at work, and must look at its doors once more
	sleeping              // asleep or about to be: only the eventfd wakes it
)

// Poller is one epoll instance. All methods belong to the goroutine of its loop, except Wake.
//
// A loop reads:
//
//	for {
//		p.ClearWake()       // from here on a Wake means something new
//		...drain the doors...
//		for _, e := range p.Wait(timeout) { ... }
//	}
type Poller struct {
	// immutable after New
	fd, wakeFD int
	file       *os.File        // owns fd
	raw        syscall.RawConn // of file; nil when Go's netpoller does not take epoll descriptors
	harvest    func(uintptr) bool
	blockers   int32         // most loops of the process in epoll_wait at once
	blockFor   time.Duration // and for how long

	// owned by the loop
	events   []Event
	ready    int   // what harvest found
	err      error // why harvest gave up
	mean     float64
	deadline time.Time // of reading file; zero: none

	state atomic.Int32
}

// Capacity is how many events one Wait can give.
const Capacity = 512

// New makes an epoll instance with its eventfd.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &Poller{fd: fd, wakeFD: -1, events: make([]Event, Capacity),
		blockers: int32(runtime.GOMAXPROCS(0) - 1), blockFor: blockAtMost}
	if err := p.init(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Poller) init() error {
	// Non-blocking is what makes os.NewFile put the descriptor into Go's netpoller: an epoll descriptor is readable
	// when it has events.
	if err := unix.SetNonblock(p.fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	if p.file.SetReadDeadline(time.Time{}) == nil {
		raw, err := p.file.SyscallConn()
		if err != nil {
			return fmt.Errorf("park epoll: %w", err)
		}
		p.raw = raw
	}
	p.harvest = p.harvestOnce // one closure for the poller's life
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	p.wakeFD = wake
	// Edge-triggered, so the counter need never be read: each write is a new edge.
	return p.ctl(unix.EPOLL_CTL_ADD, wake, Readable|Edge, wakeToken)
}

// Add watches a descriptor; its events carry the token, which must not be 0. A descriptor leaves by being closed.
func (p *Poller) Add(fd int, interest uint32, token uint64) error {
	if token == wakeToken {
		panic("epoll: token 0 is the poller's own")
	}
	return p.ctl(unix.EPOLL_CTL_ADD, fd, interest, token)
}

// Modify changes the interest of a watched descriptor and reports its present readiness anew, edge-triggered or not.
func (p *Poller) Modify(fd int, interest uint32, token uint64) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, interest, token)
}

// Remove stops watching a descriptor that stays open.
func (p *Poller) Remove(fd int) error { return p.ctl(unix.EPOLL_CTL_DEL, fd, 0, wakeToken) }

func (p *Poller) ctl(op, fd int, interest uint32, token uint64) error {
	event := makeEvent(interest, token)
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &event))
}

// Wake makes the present or the next Wait return, unless ClearWake comes in between. Any goroutine may call it, after
// it has put down what the loop shall find. It costs a system call only if the loop sleeps (row E14).
func (p *Poller) Wake() {
	if p.state.Load() == notified {
		return
	}
	if p.state.Swap(notified) == sleeping {
		one := [8]byte{1}
		_, _ = unix.Write(p.wakeFD, one[:]) // EAGAIN would mean a counter of 2^64-2: the edge is out already
	}
}

// ClearWake forgets the wake-ups so far. The loop calls it before it looks at its doors: a waker puts down first and
// wakes second, so what was put down before a forgotten wake-up is found now, and what comes later wakes again.
func (p *Poller) ClearWake() { p.state.Store(running) }

// Close closes both descriptors. The loop must have ended and nobody may Wake any more: a waker holds a lock that the
// loop takes before it closes, else its write could meet a descriptor that the kernel has given to somebody else.
func (p *Poller) Close() error {
	var errs []error
	if p.wakeFD >= 0 {
		errs = append(errs, os.NewSyscallError("close", unix.Close(p.wakeFD)))
		p.wakeFD = -1
	}
	if p.file != nil {
		errs = append(errs, p.file.Close())
		p.file = nil
	} else if p.fd >= 0 {
		errs = append(errs, os.NewSyscallError("close", unix.Close(p.fd)))
	}
	p.fd = -1
	return errors.Join(errs...)
}
