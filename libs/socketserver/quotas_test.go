package socketserver

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanal/libs/network"
)

func newQuotas(limits Quotas, listeners ...*ListenerConfig) (*connectionQuotas, []*listenerQuota, *bytes.Buffer) {
	log := new(bytes.Buffer)
	q := newConnectionQuotas(limits, slog.New(slog.NewTextHandler(log, nil)))
	for _, l := range listeners {
		q.add(l)
	}
	return q, q.listeners, log
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(n)}) }

// counted is a connection as the dumb model has it.
type counted struct {
	listener, ip int
	at           int64
	leaving      bool
}

// model knows all connections there ever were, and counts anew each time.
type model struct {
	limits    Quotas
	listeners []ListenerConfig
	open      []counted
	ever      []counted
}

func (m *model) count(which func(counted) bool) int {
	n := 0
	for _, c := range m.open {
		if which(c) {
			n++
		}
	}
	return n
}

// early tells whether a connection now would come too soon after those there were, by filling a bucket from the start.
func (m *model) early(r Rate, now int64, which func(counted) bool) bool {
	if r.PerSecond <= 0 {
		return false
	}
	burst := float64(r.Burst)
	tokens, last := burst, int64(0)
	fill := func(at int64) {
		tokens = min(burst, tokens+float64(at-last)/1e9*r.PerSecond)
		last = at
	}
	for _, c := range m.ever {
		if which(c) {
			fill(c.at)
			tokens--
		}
	}
	fill(now)
	return tokens < 1-1e-6
}

const (
	admitted = "admitted"
	waits    = "waits"
)

// admit says what should become of a connection.
func (m *model) admit(listener, ip int, now int64) string {
	l := m.listeners[listener]
	ofListener := func(c counted) bool { return c.listener == listener }
	ofIP := func(c counted) bool { return c.ip == ip }
	perIP, overridden := m.limits.PerIP[address(ip)]
	if !overridden {
		perIP = m.limits.MaxPerIP
	}
	own := l.Quotas.MaxConnections
	if own == 0 {
		own = m.limits.MaxConnections
	}
	full := own > 0 && m.count(ofListener) >= own ||
		!l.Privileged && m.limits.MaxConnections > 0 && len(m.open) >= m.limits.MaxConnections
	switch {
	case (overridden || perIP != 0) && m.count(ofIP) >= perIP:
		return network.ReasonTooManyConnectionsOfIP.String()
	case m.early(m.limits.RatePerIP, now, ofIP):
		return network.ReasonConnectionRateOfIP.String()
	case full && m.limits.Refuse:
		return network.ReasonTooManyConnections.String()
	case full, m.early(l.Quotas.Rate, now, ofListener),
		!l.Privileged && m.early(m.limits.Rate, now, func(c counted) bool { return !m.listeners[c.listener].Privileged }):
		return waits
	}
	c := counted{listener: listener, ip: ip, at: now}
	m.open, m.ever = append(m.open, c), append(m.ever, c)
	return admitted
}

func (m *model) excess() int {
	if m.limits.MaxConnections == 0 {
		return 0
	}
	return m.count(func(c counted) bool { return !c.leaving }) - m.limits.MaxConnections
}

func randomRate(chance *rand.Rand) Rate {
	if chance.IntN(2) == 0 {
		return Rate{}
	}
	return Rate{PerSecond: 1 + float64(chance.IntN(50)), Burst: 1 + chance.IntN(10)}
}

func randomLimits(chance *rand.Rand) Quotas {
	return Quotas{
		MaxConnections: chance.IntN(20), MaxPerIP: chance.IntN(8) - 1, Refuse: chance.IntN(2) == 0,
		PerIP: map[netip.Addr]int{address(0): chance.IntN(5), address(1): chance.IntN(5)},
	}
}

// Rows D1, D2, D3 to D11, D13, D14: whatever comes and goes in whatever order, the quotas say what counting from scratch says.
func TestQuotasAgainstAModel(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(200) {
		quotas(t, rand.New(rand.NewPCG(seed, 6)), seen)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, v := range []string{admitted, waits, "too_many_connections", "too_many_connections_of_ip", "connection_rate_of_ip", "excess"} {
		if seen[v] < 100 {
			t.Errorf("%s came up %d times", v, seen[v])
		}
	}
}

func quotas(t *testing.T, chance *rand.Rand, seen map[string]int) {
	m := model{limits: randomLimits(chance), listeners: []ListenerConfig{{Name: "A"}, {Name: "B"}, {Name: "IN", Privileged: true}}}
	m.limits.Rate, m.limits.RatePerIP = randomRate(chance), randomRate(chance)
	var configs []*ListenerConfig
	for i := range m.listeners {
		m.listeners[i].Quotas = ListenerQuotas{MaxConnections: chance.IntN(10), Rate: randomRate(chance)}
		configs = append(configs, &m.listeners[i])
	}
	q, listeners, log := newQuotas(m.limits, configs...)
	now := int64(0)
	for range 500 {
		now += chance.Int64N(int64(time.Second) / 10)
		switch op := chance.IntN(8); {
		case op < 4:
			l, ip := chance.IntN(3), chance.IntN(5)
			want := m.admit(l, ip, now)
			seen[want]++
			checkVerdict(t, q.admit(listeners[l], address(ip), now), want, m.excess() > 0)
		case op < 6 && len(m.open) > 0:
			i := chance.IntN(len(m.open))
			c := m.open[i]
			m.open = slices.Delete(m.open, i, i+1)
			slot{q, listeners[c.listener], address(c.ip)}.release(c.leaving)
		case op == 6 && len(m.open) > 0:
			claim(t, q, &m, seen)
		case op == 7 && chance.IntN(8) == 0:
			next := randomLimits(chance)
			next.Rate, next.RatePerIP = m.limits.Rate, m.limits.RatePerIP
			m.limits = next
			if q.update(next, nil) != (m.excess() > 0) {
				t.Error("an update did not tell the excess")
			}
		}
		if q.total != len(m.open) {
			t.Fatalf("%d connections, want %d", q.total, len(m.open))
		}
	}
	if log.Len() > 0 {
		t.Error(log)
	}
}

func checkVerdict(t *testing.T, v verdict, want string, excess bool) {
	t.Helper()
	got := v.reason.String()
	switch {
	case v.admitted:
		got = admitted
	case v.reason == network.ReasonNone:
		got = waits
	}
	if got != want || v.admitted && v.excess != excess {
		t.Fatalf("%s (%+v), want %s", got, v, want)
	}
	if got == waits && v.changed == nil || (v.hold > 0) != (v.reason == network.ReasonConnectionRateOfIP) || v.hold > longestHold {
		t.Fatalf("%+v", v)
	}
}

// claim is what a processor does: closing one whose slot is still to be given back.
func claim(t *testing.T, q *connectionQuotas, m *model, seen map[string]int) {
	want := m.excess() > 0
	if q.claimExcess() != want {
		t.Fatalf("claimed %v, want %v", !want, want)
	}
	if want {
		seen["excess"]++
		m.open[slices.IndexFunc(m.open, func(c counted) bool { return !c.leaving })].leaving = true
	}
}

// Row D13: everything that waits is told of each freed slot, and of changed limits (D14); what was never counted is an
// error and changes nothing.
func TestWaitersAreTold(t *testing.T) {
	q, l, log := newQuotas(Quotas{MaxConnections: 1}, &ListenerConfig{Name: "A"}, &ListenerConfig{Name: "B"})
	if !q.admit(l[0], address(1), 0).admitted {
		t.Fatal("the first does not come in")
	}
	for _, change := range []func(){
		func() { q.update(Quotas{MaxConnections: 1, MaxPerIP: 9}, nil) },
		func() { slot{q, l[0], address(1)}.release(false) },
	} {
		waiters := []verdict{q.admit(l[0], address(2), 0), q.admit(l[1], address(3), 0)}
		change()
		for _, v := range waiters {
			select {
			case <-v.changed:
			default:
				t.Errorf("a waiter was not told: %+v", v)
			}
		}
	}
	if !q.admit(l[1], address(2), 0).admitted {
		t.Error("there is no room after a release")
	}
	before := q.total
	slot{q, l[0], address(9)}.release(false)
	if q.total != before || !strings.Contains(log.String(), "not counted") {
		t.Errorf("%d connections after releasing what never was, want %d; log %q", q.total, before, log)
	}
}

// Rows D10, D12: the rate in the long run is the limit whatever the burst, the burst is what was asked for, and waiting
// as long as told is enough.
func TestRate(t *testing.T) {
	for _, r := range []Rate{{PerSecond: 10, Burst: 1}, {PerSecond: 10}, {PerSecond: 1000, Burst: 7}, {PerSecond: 0.3}, {PerSecond: 3, Burst: 100}} {
		var b bucket
		now, came, waited := int64(5), 0, 0
		for ; now < int64(1000*time.Second); waited++ {
			for b.delay(r, now) == 0 {
				b.take(r)
				if came++; waited == 0 && came > int(r.burst()) {
					t.Fatalf("%+v: a burst of %d", r, came)
				}
			}
			now += int64(b.delay(r, now))
			if b.delay(r, now) != 0 {
				t.Fatalf("%+v: waited and still may not", r)
			}
		}
		if want := 1000*r.PerSecond + r.burst(); float64(came) < want-2 || float64(came) > want+1 {
			t.Errorf("%+v: %d in 1000 s", r, came)
		}
		if !b.isFull(r, now+int64(time.Hour)) {
			t.Errorf("%+v: not full after an hour", r)
		}
	}
	var unlimited bucket
	for range 1_000_000 {
		unlimited.take(Rate{})
	}
	if d := unlimited.delay(Rate{PerSecond: 1}, 1); d != 0 {
		t.Errorf("a rate that begins now delays for what was before, by %v", d)
	}
	lowered := bucket{taken: 1000, at: 1}
	if d := lowered.delay(Rate{PerSecond: 1, Burst: 1}, 1); d > 2*time.Second {
		t.Errorf("a burst that was made smaller delays by %v", d)
	}
}

// Row D16: addresses without connections are forgotten, however many come by.
func TestAddressesAreForgotten(t *testing.T) {
	for name, limits := range map[string]Quotas{"no rate": {}, "rate": {RatePerIP: Rate{PerSecond: 1}}} {
		q, l, _ := newQuotas(limits, &ListenerConfig{Name: "A"})
		for i := range 100 * firstSweep {
			ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if !q.admit(l[0], ip, int64(i)*int64(time.Millisecond)*10).admitted {
				t.Fatal("not admitted")
			}
			slot{q, l[0], ip}.release(false)
			if len(q.addresses) > 2*firstSweep {
				t.Fatalf("%s: %d addresses are kept", name, len(q.addresses))
			}
		}
	}
}
