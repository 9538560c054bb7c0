package socketserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanal/libs/network"
)

// Quotas bound the connections of a server; what is 0 is unlimited.
type Quotas struct {
	MaxConnections int                // in total, and of each listener without a limit of its own (max.connections, D4, D5)
	MaxPerIP       int                // of one address (max.connections.per.ip); negative: none but for overrides (D3)
	PerIP          map[netip.Addr]int // overrides of MaxPerIP (max.connections.per.ip.overrides)
	Refuse         bool               // at MaxConnections or a listener's limit: close at once instead of waiting for a free slot
	Rate           Rate               // of connecting, in total (max.connection.creation.rate, D10)
	RatePerIP      Rate               // of one address (connection_creation_rate, D11)
}

// ListenerQuotas bound the connections of one listener; what is 0 is as for the server.
type ListenerQuotas struct {
	MaxConnections int  // (listener.name.X.max.connections, D4)
	Rate           Rate // (listener.name.X.max.connection.creation.rate, D10); if 0 only the server's
}

func (q *Quotas) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(q.MaxConnections < 0, "at most %d connections", q.MaxConnections)
	bad(q.MaxPerIP < 0 && len(q.PerIP) == 0, "no connections of any address, and no overrides")
	for a, n := range q.PerIP {
		bad(n < 0, "at most %d connections of %s", n, a)
	}
	return errors.Join(append(errs, q.Rate.validate(), q.RatePerIP.validate())...)
}

func (q *ListenerQuotas) validate() error {
	if q.MaxConnections < 0 { // D15
		return errors.Join(fmt.Errorf("at most %d connections", q.MaxConnections), q.Rate.validate())
	}
	return q.Rate.validate()
}

func (r Rate) validate() error {
	if r.PerSecond < 0 || r.Burst < 0 {
		return fmt.Errorf("%v connections a second with a burst of %d", r.PerSecond, r.Burst)
	}
	return nil
}

// connectionQuotas counts the connections of a server and says who may come (ConnectionQuotas, 1.4). Acceptors ask it,
// and whoever closes a connection tells it; no request does. It has no clock.
type connectionQuotas struct {
	log *slog.Logger

	mu        sync.Mutex
	limits    Quotas
	rate      bucket
	total     int
	leaving   int // of total: closed as excess, not gone yet
	listeners []*listenerQuota
	addresses map[netip.Addr]*addressQuota
	sweepAt   int           // size of addresses at which those without news are forgotten
	changed   chan struct{} // closed when a waiter should ask again; nil while nobody waits
}

// listenerQuota is one listener's part, guarded by the lock of its connectionQuotas.
type listenerQuota struct {
	name       string
	limits     ListenerQuotas
	privileged bool
	removed    bool // nobody comes any more
	rate       bucket
	count      int
}

type addressQuota struct {
	rate  bucket
	count int
}

// firstSweep is how many addresses are kept before the first is forgotten.
const firstSweep = 1024

func newConnectionQuotas(limits Quotas, log *slog.Logger) *connectionQuotas {
	return &connectionQuotas{limits: limits, log: log, addresses: map[netip.Addr]*addressQuota{}, sweepAt: firstSweep}
}

// add makes a listener known.
func (q *connectionQuotas) add(l *ListenerConfig) *listenerQuota {
	q.mu.Lock()
	defer q.mu.Unlock()
	added := &listenerQuota{name: l.Name, limits: l.Quotas, privileged: l.Privileged}
	q.listeners = append(q.listeners, added)
	return added
}

// remove forgets a listener: whoever waits for it is refused, and its connections count until they are closed (D17).
func (q *connectionQuotas) remove(l *listenerQuota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.removed = true
	q.listeners = slices.DeleteFunc(q.listeners, func(other *listenerQuota) bool { return other == l })
	q.tell()
}

// protects tells that only its own limits hold a listener: a privileged one, if there are others (D6).
func (q *connectionQuotas) protects(l *listenerQuota) bool {
	return l.privileged && len(q.listeners) > 1
}

// slot is a connection's place in the counts.
type slot struct {
	quotas   *connectionQuotas
	listener *listenerQuota
	address  netip.Addr
}

// verdict is the answer to a connection that wants in: it may, it is refused for a reason, or it has to wait.
type verdict struct {
	admitted bool
	excess   bool                // admitted, and some other has to go (D7)
	reason   network.CloseReason // refused
	limit    int                 // that it met
	hold     time.Duration       // refused, but kept open for so long without being read (C8)
	wait     time.Duration       // ask again after this, if not 0,
	changed  <-chan struct{}     // and when this is closed
}

// longestHold bounds how long a socket is held that came too soon (one window, D11).
const longestHold = time.Second

// admit counts a connection in if it may come. Nothing is counted and no token taken otherwise, so that refused
// connections cost the others nothing (unlike D2; D11's un-recording comes for free).
func (q *connectionQuotas) admit(l *listenerQuota, ip netip.Addr, now int64) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.removed {
		return verdict{reason: network.ReasonListenerRemoved}
	}
	a, refused := q.admitAddress(ip, now)
	if refused.reason != network.ReasonNone {
		return refused
	}
	if limit, full := q.full(l); full && q.limits.Refuse {
		return verdict{reason: network.ReasonTooManyConnections, limit: limit}
	} else if full {
		return verdict{changed: q.waiting()}
	}
	if d := q.rateDelay(l, now); d > 0 {
		return verdict{wait: d, changed: q.waiting()}
	}
	q.count(l)
	q.countAddress(a)
	return verdict{admitted: true, excess: q.excess() > 0}
}

// admitAddress asks for the address alone. The zero address is one that is not known yet; nothing is counted for it.
func (q *connectionQuotas) admitAddress(ip netip.Addr, now int64) (*addressQuota, verdict) {
	if !ip.IsValid() {
		return nil, verdict{}
	}
	a := q.address(ip, now)
	if limit := q.limitOf(ip); limit >= 0 && a.count >= limit {
		return a, verdict{reason: network.ReasonTooManyConnectionsOfIP, limit: limit}
	}
	if d := a.rate.delay(q.limits.RatePerIP, now); d > 0 {
		return a, verdict{reason: network.ReasonConnectionRateOfIP, limit: int(q.limits.RatePerIP.PerSecond), hold: min(d, longestHold)}
	}
	return a, verdict{}
}

// reveal tells whose connection it is that was counted without its address.
func (s *slot) reveal(ip netip.Addr, now int64) verdict {
	q := s.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	a, v := q.admitAddress(ip, now)
	if v.reason == network.ReasonNone {
		q.countAddress(a)
		s.address, v.admitted = ip, true
	}
	return v
}

// limitOf is how many connections an address may have, negative: any number.
func (q *connectionQuotas) limitOf(ip netip.Addr) int {
	if n, ok := q.limits.PerIP[ip]; ok {
		return n
	}
	switch n := q.limits.MaxPerIP; {
	case n == 0:
		return -1
	default:
		return max(n, 0)
	}
}

// full tells that there is no slot, and which limit is met.
func (q *connectionQuotas) full(l *listenerQuota) (limit int, full bool) {
	own := l.limits.MaxConnections
	setDefault(&own, q.limits.MaxConnections)
	if own > 0 && l.count >= own {
		return own, true
	}
	limit = q.limits.MaxConnections
	return limit, limit > 0 && q.total >= limit && !q.protects(l)
}

func (q *connectionQuotas) rateDelay(l *listenerQuota, now int64) time.Duration {
	d := l.rate.delay(l.limits.Rate, now)
	if !q.protects(l) {
		d = max(d, q.rate.delay(q.limits.Rate, now))
	}
	return d
}

func (q *connectionQuotas) count(l *listenerQuota) {
	if !q.protects(l) {
		q.rate.take(q.limits.Rate)
	}
	l.rate.take(l.limits.Rate)
	l.count++
	q.total++
}

func (q *connectionQuotas) countAddress(a *addressQuota) {
	if a != nil {
		a.rate.take(q.limits.RatePerIP)
		a.count++
	}
}

// release gives a connection's slot back, once its socket is closed, and lets all who wait ask again (D13).
func (s slot) release(excess bool) {
	q := s.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.address.IsValid() && !q.releaseAddress(s.address) {
		q.log.Error("connection closed that was not counted", "client", s.address.String(), "listener", s.listener.name)
		return
	}
	s.listener.count--
	q.total--
	if excess {
		q.leaving--
	}
	q.tell()
}

func (q *connectionQuotas) releaseAddress(ip netip.Addr) bool {
	a := q.addresses[ip]
	if a == nil || a.count == 0 {
		return false
	}
	a.count--
	if a.count == 0 && q.limits.RatePerIP.PerSecond <= 0 {
		delete(q.addresses, ip)
	}
	return true
}

// waiting gives the channel that the next change closes.
func (q *connectionQuotas) waiting() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

func (q *connectionQuotas) tell() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// excess is how many connections have to go.
func (q *connectionQuotas) excess() int {
	if q.limits.MaxConnections <= 0 {
		return 0
	}
	return q.total - q.leaving - q.limits.MaxConnections
}

// claimExcess tells a processor to close one connection. Each claim is counted until its slot is given back, so that
// several processors close exactly as many as needed (unlike D9).
func (q *connectionQuotas) claimExcess() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.excess() <= 0 {
		return false
	}
	q.leaving++
	return true
}

// update sets the limits of a server and of those of its listeners that are named; whoever waits asks again, and what
// is open stays open, but for excess (D14). It tells whether there is any.
func (q *connectionQuotas) update(limits Quotas, listeners map[string]ListenerQuotas) (excess bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits
	for _, l := range q.listeners {
		if own, ok := listeners[l.name]; ok {
			l.limits = own
		}
	}
	q.tell()
	return q.excess() > 0
}

// address finds an address or makes it known.
func (q *connectionQuotas) address(ip netip.Addr, now int64) *addressQuota {
	a := q.addresses[ip]
	if a == nil {
		q.sweep(now)
		a = new(addressQuota)
		q.addresses[ip] = a
	}
	return a
}

// sweep forgets addresses without connections whose rate is as if they had never come (D16, without the hour).
func (q *connectionQuotas) sweep(now int64) {
	if len(q.addresses) < q.sweepAt {
		return
	}
	for ip, a := range q.addresses {
		if a.count == 0 && a.rate.isFull(q.limits.RatePerIP, now) {
			delete(q.addresses, ip)
		}
	}
	q.sweepAt = max(2*len(q.addresses), firstSweep)
}
