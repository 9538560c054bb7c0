package socketserver_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// E15, E16, R9: idle and busy time of a processor make up its life, and a loop that sleeps is seen to sleep: nothing wakes it
// between the two scrapes.
func TestIdleAndBusyTime(t *testing.T) {
	f := start(t)
	begun := time.Now()
	idle := func() float64 { return f.metric(t, "kanal_processor_idle_seconds_total", "TEST", "0") }
	busy := func() float64 { return f.metric(t, "kanal_processor_busy_seconds_total", "TEST", "0") }
	eventually(t, "the loop sleeps", func() bool { return idle() > 0 })
	polls, before := f.metric(t, "kanal_processor_polls_total"), idle()
	eventually(t, "idle time passes", func() bool { return idle() >= before+0.02 })
	if now := f.metric(t, "kanal_processor_polls_total"); now != polls {
		t.Fatalf("the loop has looked %v times meanwhile", now-polls)
	}
	if life := time.Since(begun).Seconds() + 1; idle()+busy() > life {
		t.Fatalf("%v s idle and %v s busy of %v s", idle(), busy(), life)
	}
	work := busy()
	c := f.dial(t)
	for i := range int32(100) {
		c.send(request(i))
		f.answer(f.next(t))
		c.wantAnswer(i)
	}
	eventually(t, "work counts as busy", func() bool { return busy() > work })
}

// What a processor does is counted under its listener and number (testProcessorMetricsTags), and Kafka's swapped names
// are not copied: requests are what comes, responses what goes.
func TestProcessorCounts(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(requests(1, 3))
	f.answer(f.next(t))
	c.wantAnswer(1)
	f.next(t) // without an answer yet
	of := func(name string) float64 { return f.metric(t, "kanal_processor_"+name, "TEST", "0") }
	eventually(t, "two requests and one response are counted", func() bool {
		return of("requests_total") == 2 && of("responses_total") == 1 && of("reads_total") >= 1 && of("writes_total") == 1 && of("polls_total") >= 2
	})
	if n := of("response_queue"); n != 0 {
		t.Fatalf("%v responses are not taken up", n)
	}
}

// ResponseQueueSize: an answer that the loop has not taken up is seen.
func TestResponseQueue(t *testing.T) {
	stuck, free := make(chan struct{}), make(chan struct{})
	h := newHandlers()
	f := startWith(t, blockingChannel{h, stuck, free}, nil)
	h.server = f.server
	c := dial(t, f.server.Addr("TEST", 0))
	c.send(request(1))
	<-stuck // the loop is in Submit
	h.answer(h.next(t))
	if n := f.metric(t, "kanal_processor_response_queue", "TEST", "0"); n != 1 {
		t.Errorf("%v responses wait", n)
	}
	close(free)
	c.wantAnswer(1)
	if n := f.metric(t, "kanal_processor_response_queue"); n != 0 {
		t.Errorf("%v responses wait after all", n)
	}
}

// blockingChannel keeps the loop in Submit until the test is done with it.
type blockingChannel struct {
	*handlers
	stuck, free chan struct{}
}

func (b blockingChannel) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	ok, reason := b.handlers.Submit(r)
	b.stuck <- struct{}{}
	<-b.free
	return ok, reason
}

// L7, testConnectionsByClientMetric: connections are counted by the software that they have named last, and by nothing once they are closed.
func TestConnectionsBySoftware(t *testing.T) {
	f := startNaming(t)
	of := func(name, version string) float64 {
		return f.metric(t, "kanal_client_connections", name, version)
	}
	a, b := f.dial(t), f.dial(t)
	eventually(t, "two are unknown", func() bool { return of("unknown", "unknown") == 2 })
	a.name("franz-go", "1.22")
	b.name("franz-go", "1.22")
	if of("franz-go", "1.22") != 2 || of("unknown", "unknown") != 0 {
		t.Fatal(of("franz-go", "1.22"), of("unknown", "unknown"))
	}
	b.name("librdkafka", "2.6")
	b.name("librdkafka", "2.6")
	if of("franz-go", "1.22") != 1 || of("librdkafka", "2.6") != 1 {
		t.Fatal("a client that has named itself again is counted twice")
	}
	a.Close()
	b.reset()
	eventually(t, "nothing is left", func() bool {
		return f.metric(t, "kanal_client_connections") == 0 && f.metric(t, "kanal_connections") == 0
	})
}

// Labels that clients bring are bounded: in number, whatever they make up, and in length; and their room comes back.
func TestSoftwareLabelsAreBounded(t *testing.T) {
	f := startNaming(t)
	c := f.dial(t)
	rest := make([]namingClient, 0, 120)
	for i := range 120 {
		rest = append(rest, f.dial(t))
		rest[i].name(fmt.Sprintf("client-%d", i), "1")
	}
	if n := f.series(t, "kanal_client_connections"); n != 101 {
		t.Fatalf("%d series", n)
	}
	if n := f.metric(t, "kanal_client_connections", "other"); n < 20 {
		t.Fatalf("%v others", n)
	}
	for _, r := range rest {
		r.Close()
	}
	eventually(t, "one is left", func() bool { return f.metric(t, "kanal_client_connections") == 1 })
	c.name(strings.Repeat("x", 65), "1")
	c.name("other", "other") // is no group beside the others
	if n := f.metric(t, "kanal_client_connections", "other"); n != 1 {
		t.Fatalf("%v others", n)
	}
	c.name("new", "1")
	if n := f.metric(t, "kanal_client_connections", "new"); n != 1 {
		t.Fatal("room did not come back")
	}
}

// startNaming has a request channel that takes the body of each request for the client's software.
func startNaming(t *testing.T) namingFixture {
	h := newHandlers()
	f := startWith(t, namingChannel{h}, nil)
	f.handlers, h.server = h, f.server
	return namingFixture{f}
}

type namingChannel struct{ *handlers }

func (n namingChannel) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	if name, version, ok := strings.Cut(string(r.Frame[r.Header.Body:]), "/"); ok {
		r.Conn.SetSoftware(name, version)
	}
	return n.handlers.Submit(r)
}

type namingFixture struct{ *fixture }

func (f namingFixture) dial(t *testing.T) namingClient { return namingClient{f.fixture.dial(t), f} }

type namingClient struct {
	client
	f namingFixture
}

func (c namingClient) name(name, version string) {
	c.t.Helper()
	c.send(request(7, []byte(name+"/"+version)...))
	c.f.answer(c.f.next(c.t))
	c.wantAnswer(7)
}

// series is how many series a name has.
func (f *fixture) series(t *testing.T, name string) int {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return len(family.GetMetric())
		}
	}
	return 0
}

// connection-accept-throttle-time and ip-connection-accept-throttle-time: what a rate costs is counted by which rate it
// was.
func TestThrottledTimeByQuota(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	tests := []struct {
		quota  string
		quotas socketserver.Quotas
	}{
		{"listener", socketserver.Quotas{Rate: socketserver.Rate{PerSecond: 20, Burst: 1}}},
		{"ip", socketserver.Quotas{RatePerIP: socketserver.Rate{PerSecond: 20, Burst: 1}, PerIP: map[netip.Addr]int{loopback: 1000}}},
	}
	for _, test := range tests {
		t.Run(test.quota, func(t *testing.T) {
			h := newHandlers()
			f := prepareConfig(t, h, socketserver.Config{Quotas: test.quotas})
			h.server = f.server
			if err := f.server.Start(); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				dial(t, f.server.Addr("TEST", 0))
			}
			eventually(t, "throttled time is counted", func() bool {
				return f.metric(t, "kanal_acceptor_throttled_seconds_total", test.quota) >= 0.05
			})
			for _, other := range []string{"listener", "ip"} {
				if n := f.metric(t, "kanal_acceptor_throttled_seconds_total", other); other != test.quota && n != 0 {
					t.Errorf("%v s for quota %s", n, other)
				}
			}
		})
	}
}

// testMetricCollectionAfterShutdown, R8: a server that is closed leaves no metric behind.
func TestNoMetricsAfterShutdown(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	c.send(request(1))
	f.answer(f.next(t))
	c.wantAnswer(1)
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		t.Errorf("%s is left", family.GetName())
	}
}

// Every label whose values are known is there before anything happens, so that a rate sees the first event.
func TestLabelsFromTheStart(t *testing.T) {
	f := start(t)
	if n, want := f.series(t, "kanal_connections_closed_total"), len(network.Reasons()); n != want {
		t.Errorf("%d close reasons, want %d", n, want)
	}
	for _, name := range []string{"kanal_connections", "kanal_connections_accepted_total", "kanal_acceptor_blocked_seconds_total", "kanal_processor_requests_total", "kanal_processor_polls_total"} {
		if f.series(t, name) != 1 {
			t.Errorf("%s is not there", name)
		}
	}
	if n := f.metric(t, "kanal_connections", "TEST", "PLAINTEXT"); n != 0 {
		t.Errorf("%v connections", n)
	}
	if slices.Contains([]int{0, 1}, f.series(t, "kanal_acceptor_throttled_seconds_total")) {
		t.Error("the quotas are not there")
	}
}
