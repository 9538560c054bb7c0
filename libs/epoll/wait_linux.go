package epoll

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Forever is the timeout of a Wait that only events and Wake end.
const Forever time.Duration = -1

// parkAbove is the mean number of events per wake-up beyond which the loop sleeps in Go's netpoller.
const parkAbove = 1.5

// blockAtMost bounds a sleep in epoll_wait: a loop that has nothing to do leaves its place to one that has.
const blockAtMost = 2 * time.Millisecond

// blocked counts the loops of the process that sleep in epoll_wait.
var blocked atomic.Int32

// Wait gives the events that are there, or sleeps until some are, a Wake, or the timeout (0: does not sleep, negative:
// no timeout; rounded up to the next millisecond where it sleeps in the kernel). It may come back early with none. The events are valid until the next
// Wait.
//
// How it sleeps decides the speed. A thread blocked in epoll_wait answers a single connection in 7 us, but hands its P
// over and back at every sleep; parked in Go's netpoller the wake-up costs 70 us for one connection and nothing for
// many, because the scheduler looks there anyway. So it looks once without blocking, lets others run once, and then
// takes the way that the mean number of events per wake-up suggests.
//
// A loop blocked in epoll_wait keeps its P until the scheduler's monitor takes it away, which may be 10 ms later. If all
// Ps were kept so, nobody would look into the netpoller, and everything else in the process would wait for the monitor.
// Therefore one P always stays out of it.
func (p *Poller) Wait(timeout time.Duration) ([]Event, error) {
	n, err := p.look()
	if n != 0 || err != nil || timeout == 0 || p.state.Load() == notified {
		return p.events[:n], err
	}
	runtime.Gosched()
	if !p.state.CompareAndSwap(running, sleeping) {
		return nil, nil
	}
	n, err = p.sleep(timeout)
	p.mean += (float64(n) - p.mean) / 8
	p.state.CompareAndSwap(sleeping, running) // awake: a Wake need not write any more
	return p.events[:p.withoutWake(n)], err
}

func (p *Poller) sleep(timeout time.Duration) (int, error) {
	if p.raw == nil {
		return p.block(timeout)
	}
	if p.mean <= parkAbove && p.takePlace() {
		n, err := p.blockBriefly(timeout)
		blocked.Add(-1)
		if n > 0 || err != nil || timeout >= 0 && timeout <= p.blockFor {
			return n, err
		}
		timeout = max(timeout-p.blockFor, Forever)
	}
	return p.park(timeout)
}

// takePlace asks for one of the places in epoll_wait.
func (p *Poller) takePlace() bool {
	if blocked.Add(1) <= p.blockers {
		return true
	}
	blocked.Add(-1)
	return false
}

func (p *Poller) blockBriefly(timeout time.Duration) (int, error) {
	if timeout < 0 || timeout > p.blockFor {
		timeout = p.blockFor
	}
	return p.block(timeout)
}

// look asks without blocking. RawSyscall: it is too short to tell the scheduler about.
func (p *Poller) look() (int, error) {
	n, err := p.harvestRaw()
	return p.withoutWake(n), err
}

func (p *Poller) harvestRaw() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		Capacity, 0, 0, 0)
	if errno != 0 {
		return 0, waitError(errno)
	}
	return int(n), nil
}

// harvestOnce is the body of the netpoller's read: false parks the goroutine until the epoll descriptor is readable.
func (p *Poller) harvestOnce(uintptr) bool {
	p.ready, p.err = p.harvestRaw()
	return p.ready > 0 || p.err != nil
}

// park sleeps in Go's netpoller.
func (p *Poller) park(timeout time.Duration) (int, error) {
	if err := p.setDeadline(timeout); err != nil {
		return 0, err
	}
	p.ready, p.err = 0, nil
	err := p.raw.Read(p.harvest)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	return p.ready, errors.Join(err, p.err)
}

// deadlineSlack is how late a timeout in the netpoller may come. A loop whose next due time stays the same, or moves
// away, then sets it once and not at every sleep; a wake-up too early does no harm.
const deadlineSlack = time.Millisecond

func (p *Poller) setDeadline(timeout time.Duration) error {
	if timeout < 0 {
		if p.deadline.IsZero() {
			return nil
		}
		p.deadline = time.Time{}
		return p.file.SetReadDeadline(p.deadline)
	}
	now := time.Now()
	due := now.Add(timeout)
	if p.deadline.After(now) && p.deadline.Before(due.Add(deadlineSlack)) {
		return nil
	}
	p.deadline = due
	return p.file.SetReadDeadline(due)
}

// block sleeps in epoll_wait.
func (p *Poller) block(timeout time.Duration) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		Capacity, milliseconds(timeout), 0, 0)
	if errno != 0 {
		return 0, waitError(errno)
	}
	return int(n), nil
}

// milliseconds rounds up, so that a loop does not spin through the last fraction before a due time.
func milliseconds(timeout time.Duration) uintptr {
	if timeout < 0 {
		return ^uintptr(0)
	}
	ms := (timeout + time.Millisecond - 1) / time.Millisecond
	return uintptr(min(ms, 1<<30))
}

// waitError hides the signals that Go itself uses for preemption.
func waitError(errno unix.Errno) error {
	if errno == unix.EINTR {
		return nil
	}
	return os.NewSyscallError("epoll_wait", errno)
}

// withoutWake takes the eventfd's event out of the first n.
func (p *Poller) withoutWake(n int) int {
	for i := range n {
		if p.events[i].Token() == wakeToken {
			n--
			p.events[i] = p.events[n]
			return n
		}
	}
	return n
}
