package socketserver

import (
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kanal/libs/network"
)

// admit takes an accepted socket past the quotas: to a processor, to its end, or to those held for a while. It may wait
// for a slot or a rate, and meanwhile this listener accepts nothing (C4, D2).
func (a *acceptor) admit(s socket) {
	trusted := a.listener.Proxy.trusts(s.remote.Addr())
	if a.listener.Proxy.Mode == ProxyRequire && !trusted {
		a.refuse(s, &verdict{reason: network.ReasonProxyUntrusted})
		return
	}
	address := s.remote.Addr()
	if s.proxied = trusted; s.proxied {
		address = netip.Addr{} // known later
	}
	for {
		v := a.quotas.admit(a.quota, address, Now())
		switch {
		case v.admitted:
			s.slot = slot{a.quotas, a.quota, address}
			if v.excess {
				a.orderExcess()
			}
			a.assign(s)
			return
		case v.reason != network.ReasonNone:
			a.refuse(s, &v)
			return
		case !a.wait(&v):
			a.drop(s.fd, a.farewell())
			return
		}
	}
}

// wait lets the acceptor sleep until it should ask again; false when it is stopped.
func (a *acceptor) wait(v *verdict) bool {
	a.counts.blocked.start()
	begun := Now()
	defer func() {
		a.resumed()
		if v.wait > 0 {
			a.counts.throttled.Add(time.Duration(Now() - begun).Seconds())
		}
	}()
	sleep := v.wait
	if next, held := a.nextHeld(); held && (sleep == 0 || next < sleep) {
		sleep = next
	}
	var due <-chan time.Time
	if sleep > 0 {
		timer := time.NewTimer(sleep)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-v.changed:
	case <-due:
		a.closeHeld()
	case <-a.stopped:
		return false
	}
	return true
}

// refuse closes a socket that may not come: at once, without a byte (D3), or later where closing at once would only
// invite the next try (C8).
func (a *acceptor) refuse(s socket, v *verdict) {
	a.refusals.note(a.log, s, v)
	if v.hold == 0 {
		a.drop(s.fd, v.reason)
		return
	}
	a.counts.ipThrottled.Add(v.hold.Seconds())
	if len(a.held) == mostHeld {
		a.dropFirstHeld()
	}
	a.held.push(throttle{Now() + int64(v.hold), uint64(s.fd)})
	a.counts.held.Set(float64(len(a.held)))
}

func (a *acceptor) drop(fd int, reason network.CloseReason) {
	_ = unix.Close(fd)
	a.counts.closed[reason].Inc()
}

// mostHeld bounds the descriptors that refused peers can take up; beyond it the first is closed early.
const mostHeld = 1024

// closeHeld closes the sockets whose time is over. The heap has the soonest first, unlike C9's.
func (a *acceptor) closeHeld() {
	for len(a.held) > 0 && a.held[0].due <= Now() {
		a.dropFirstHeld()
	}
}

func (a *acceptor) dropFirstHeld() {
	first, _ := a.held.pop(a.held[0].due)
	a.drop(int(first.token), network.ReasonConnectionRateOfIP)
	a.counts.held.Set(float64(len(a.held)))
}

func (a *acceptor) dropAllHeld() {
	for len(a.held) > 0 {
		a.dropFirstHeld()
	}
}

// nextHeld is how long it takes until the next held socket's time is over.
func (a *acceptor) nextHeld() (time.Duration, bool) {
	if len(a.held) == 0 {
		return 0, false
	}
	return max(time.Duration(a.held[0].due-Now()), 1), true
}

// refusals logs what was refused, once in a while: a flood of connections must not become a flood of lines.
type refusals struct {
	due   int64 // of the next line
	count int   // since the last
}

// refusalsEvery is the least time between two lines.
const refusalsEvery = time.Second

func (r *refusals) note(log *slog.Logger, s socket, v *verdict) {
	r.count++
	now := Now()
	if now < r.due {
		return
	}
	log.Info("connection refused", "reason", v.reason.String(), "client", s.remote.Addr().String(), "limit", v.limit, "refused", r.count)
	r.due, r.count = now+int64(refusalsEvery), 0
}
