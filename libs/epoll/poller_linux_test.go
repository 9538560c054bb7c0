package epoll

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newPoller(t testing.TB) *Poller {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func socketPair(t testing.TB) (int, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// Both ways of sleeping must behave alike; the mean picks the way.
func eachWay(t *testing.T, f func(t *testing.T, p *Poller)) {
	for name, mean := range map[string]float64{"blocked in epoll_wait": 0, "parked in the netpoller": 100} {
		t.Run(name, func(t *testing.T) {
			p := newPoller(t)
			if p.raw == nil {
				t.Fatal("the netpoller does not take epoll descriptors")
			}
			p.mean, p.blockFor = mean, time.Minute
			f(t, p)
		})
	}
}

func TestWaitGivesEventsWithTheirToken(t *testing.T) {
	eachWay(t, func(t *testing.T, p *Poller) {
		near, far := socketPair(t)
		const token = 0xfedc_ba98_7654_3210
		if err := p.Add(near, Readable|PeerClosed|Edge, token); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Millisecond, func() { unix.Write(far, []byte("x")) })
		events, err := p.Wait(Forever)
		if err != nil || len(events) != 1 || events[0].Token() != token || !events[0].Is(Readable) || events[0].Is(PeerClosed) {
			t.Fatalf("events %v, err %v", events, err)
		}
		if events, _ := p.Wait(0); len(events) != 0 {
			t.Fatalf("the same edge came twice: %v", events)
		}
		unix.Shutdown(far, unix.SHUT_WR)
		if events, _ := p.Wait(Forever); len(events) != 1 || !events[0].Is(PeerClosed) {
			t.Fatalf("the peer's close was not told: %v", events)
		}
	})
}

func TestWaitEndsAtItsTimeout(t *testing.T) {
	eachWay(t, func(t *testing.T, p *Poller) {
		for range 3 {
			p.mean *= 2 // stays on its way in spite of the empty wake-ups
			start := time.Now()
			events, err := p.Wait(3 * time.Millisecond)
			if err != nil || len(events) != 0 {
				t.Fatalf("events %v, err %v", events, err)
			}
			if took := time.Since(start); took < 3*time.Millisecond {
				t.Fatalf("returned after %v", took)
			}
		}
		p.Wake()
		if _, err := p.Wait(Forever); err != nil { // the deadline of before is gone
			t.Fatal(err)
		}
	})
}

// Row E14: a wake-up before, at and during the sleep ends the sleep; one that ClearWake forgot does not.
func TestWakeEndsTheWait(t *testing.T) {
	eachWay(t, func(t *testing.T, p *Poller) {
		p.Wake()
		p.Wait(Forever) // before
		p.ClearWake()
		woken := make(chan struct{})
		time.AfterFunc(5*time.Millisecond, func() { p.Wake(); close(woken) })
		p.Wait(Forever) // during
		<-woken
		p.Wake()
		p.ClearWake()
		start := time.Now()
		p.Wait(2 * time.Millisecond)
		if time.Since(start) < 2*time.Millisecond {
			t.Fatal("a forgotten wake-up ended the wait")
		}
	})
}

// Row F10: producers put down and wake, the loop must find everything without a timeout: a lost wake-up hangs this test.
func TestNoWakeUpIsLost(t *testing.T) {
	eachWay(t, func(t *testing.T, p *Poller) {
		const producers, each = 4, 5000
		var door atomic.Int64
		var wg sync.WaitGroup
		for range producers {
			wg.Go(func() {
				for range each {
					door.Add(1)
					p.Wake()
				}
			})
		}
		mean := p.mean
		for got := int64(0); got < producers*each; {
			p.ClearWake()
			got += door.Swap(0)
			if got < producers*each {
				p.mean = mean
				if _, err := p.Wait(Forever); err != nil {
					t.Fatal(err)
				}
			}
		}
		wg.Wait()
	})
}

func TestMillisecondsRoundUp(t *testing.T) {
	for timeout, want := range map[time.Duration]uintptr{
		Forever: ^uintptr(0), 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 1 << 62: 1 << 30,
	} {
		if got := milliseconds(timeout); got != want {
			t.Errorf("milliseconds(%d) = %d, want %d", timeout, got, want)
		}
	}
}

func BenchmarkWakeOfARunningLoop(b *testing.B) {
	p := newPoller(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Wake()
		p.ClearWake()
	}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

// waiting starts loops that have nothing to do; the function given ends them.
func waiting(t *testing.T, n int, blockFor time.Duration) (asleep func() bool, end func()) {
	var loops sync.WaitGroup
	pollers := make([]*Poller, n)
	for i := range pollers {
		p := newPoller(t)
		p.blockFor, pollers[i] = blockFor, p
		loops.Go(func() {
			if _, err := p.Wait(Forever); err != nil {
				t.Error(err)
			}
		})
	}
	asleep = func() bool {
		return !slices.ContainsFunc(pollers, func(p *Poller) bool { return p.state.Load() != sleeping })
	}
	return asleep, func() {
		for _, p := range pollers {
			p.Wake()
		}
		loops.Wait()
	}
}

// With every P kept by a loop in epoll_wait nobody would look into the netpoller.
func TestOnePStaysOutOfEpollWait(t *testing.T) {
	places := int32(runtime.GOMAXPROCS(0) - 1)
	asleep, end := waiting(t, int(places)+3, time.Hour)
	defer end()
	eventually(t, "all loops asleep, all places taken", func() bool { return asleep() && blocked.Load() == places })
}

func TestIdleLoopLeavesItsPlace(t *testing.T) {
	asleep, end := waiting(t, 1, blockAtMost)
	defer end()
	eventually(t, "asleep, and not in epoll_wait", func() bool { return asleep() && blocked.Load() == 0 })
}
