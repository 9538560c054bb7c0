package memory

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// selector is a share and how often it was woken.
type selector struct {
	*Share
	woken int
}

func join(b *Budget) *selector {
	s := new(selector)
	s.Share = b.Join(func() { s.woken++ })
	return s
}

// I5, I7: who is refused waits in line, and is woken by the very release that makes room.
func TestPassesWaitInLine(t *testing.T) {
	b := NewBudget(mib)
	one, two := join(b), join(b)
	if !one.Pass() || one.woken != 0 {
		t.Fatal("refused with everything free")
	}
	b.Hold(mib + 5) // more than there is, as one pass may
	if one.Pass() || two.Pass() || one.Pass() || b.Waiting() != 2 {
		t.Fatalf("passed with nothing free; %d wait", b.Waiting())
	}
	b.Release(5)
	if one.woken+two.woken != 0 {
		t.Fatal("woken with nothing free")
	}
	b.Release(1)
	if one.woken != 1 || two.woken != 0 || two.Pass() || !one.Pass() {
		t.Fatalf("woken %d and %d, want the first in line", one.woken, two.woken)
	}
	if one.Pass() {
		t.Fatal("passed again before who was in line")
	}
	b.Release(PassBytes)
	if two.woken != 1 || !two.Pass() || !one.Pass() || b.Waiting() != 0 {
		t.Fatalf("woken %d, %d wait", two.woken, b.Waiting())
	}
}

// I12: depleted is from the first refusal until nobody waits.
func TestDepletedTime(t *testing.T) {
	b := NewBudget(mib)
	s := join(b)
	b.Hold(mib)
	if s.Pass() || b.Depleted() < 0 {
		t.Fatal("passed")
	}
	begun := time.Now()
	for b.Depleted() == 0 {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("time does not count")
		}
	}
	b.Release(mib)
	ended := b.Depleted()
	if time.Sleep(time.Millisecond); b.Depleted() != ended || ended == 0 || ended > time.Since(begun)+time.Second {
		t.Errorf("%v, then %v", ended, b.Depleted())
	}
	b.Hold(mib)
	s.Pass()
	s.Leave()
	if b.Waiting() != 0 || b.since != (time.Time{}) {
		t.Error("who has left waits")
	}
}

// I5, 5.3 #24: a large buffer gets its room although small frames take what becomes free, after at most twice as many
// bytes have been released as it needs; and those go on meanwhile.
func TestLargeBufferIsNotStarved(t *testing.T) {
	for _, limit := range []int{64 * mib, 256 * mib} {
		b := NewBudget(int64(limit))
		large, smalls := join(b), []*selector{join(b), join(b), join(b)}
		const need, small = 60 * mib, 100 << 10
		held := 0
		fill := func() (taken int) {
			for progress := true; progress; {
				progress = false
				for _, s := range smalls {
					if s.Pass() {
						b.Hold(small)
						held, taken, progress = held+small, taken+small, true
					}
				}
			}
			return taken
		}
		fill()
		if large.Take(need, 0) {
			t.Fatal("there is room")
		}
		want, overtaken, released := min(need, limit/4*3), 0, 0
		for !large.Take(need, 0) {
			if released > 2*want+mib {
				t.Fatalf("limit %d: after %d released bytes it still waits for %d; %d have overtaken it", limit, released, want, overtaken)
			}
			b.Release(small)
			held, released = held-small, released+small
			overtaken += fill()
		}
		if overtaken == 0 {
			t.Error("nobody could go on meanwhile")
		}
		if used := b.Used(); used != int64(held)+need || used > int64(limit+need-want+len(smalls)*small) {
			t.Errorf("%d used, %d held", used, held)
		}
		large.Tell(0, 0, Never)
		b.Release(held)
		if b.Used() != 0 {
			t.Errorf("%d used at the end", b.Used())
		}
	}
}

// Several large ones get their room in the order in which they asked; one that gives up gives back what was put aside
// for it.
func TestLargeBuffersWaitInLine(t *testing.T) {
	b := NewBudget(8 * mib)
	b.Hold(8 * mib)
	var all []*selector
	for range 4 {
		s := join(b)
		if s.Take(2*mib, 0) {
			t.Fatal("there is room")
		}
		all = append(all, s)
	}
	b.Release(2 * mib)
	all[0].Cancel()
	all[0].Cancel()
	if b.Waiting() != 3 || b.Used() > 8*mib {
		t.Errorf("%d used, %d wait", b.Used(), b.Waiting())
	}
	b.Release(2 * mib)
	if !all[1].Take(2*mib, 0) || all[2].Take(2*mib, 0) {
		t.Error("out of order")
	}
	all[2].Leave()
	b.Release(4 * mib)
	if !all[3].Take(2*mib, 0) || b.Used() != 4*mib || b.Waiting() != 0 {
		t.Errorf("%d used, %d wait", b.Used(), b.Waiting())
	}
}

// A frame that is larger than the budget allows comes through when nothing else is held.
func TestLargestFrameComesThrough(t *testing.T) {
	b := NewBudget(100)
	s := join(b)
	s.Tell(25, 25, 1)
	if !s.Take(100, 25) || b.Used() != 125 {
		t.Errorf("%d used", b.Used())
	}
}

// The stalest partial frame is that of the selector that told the longest ago, whoever asks.
func TestRelieveFindsTheStalest(t *testing.T) {
	b := NewBudget(100)
	old, young, none := join(b), join(b), join(b)
	old.Tell(30, 30, 7)
	young.Tell(40, 20, 9)
	if young.Exceeds(0) || !young.Exceeds(1) || b.Partial() != 50 {
		t.Errorf("%d partial", b.Partial())
	}
	if young.Relieve(true) || none.Relieve(true) || !old.Asked() || old.Asked() || old.woken != 2 || !old.Relieve(true) {
		t.Error("somebody else is asked")
	}
	old.Tell(0, 0, Never)
	if !young.Relieve(false) || young.Relieve(true) || none.Relieve(false) || !young.Asked() {
		t.Error("the next is not found")
	}
	old.Leave()
	young.Leave()
	if b.Used() != 0 || b.Partial() != 0 || len(b.shares) != 1 {
		t.Errorf("%d used, %d partial after all left", b.Used(), b.Partial())
	}
}

// Whatever happens in whatever order, the budget counts what its users have, and nobody is left waiting when all is
// given back.
func TestBudgetAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := NewBudget(int64(1 + r.IntN(4*mib)))
		type user struct {
			*selector
			held, want, own int
		}
		var users []*user
		for range 1 + r.IntN(5) {
			users = append(users, &user{selector: join(b)})
		}
		channel := 0
		for range 500 {
			u := users[r.IntN(len(users))]
			switch r.IntN(6) {
			case 0:
				if u.want == 0 {
					u.want, u.own = 1+r.IntN(mib), r.IntN(mib/4)
				}
			case 1:
				u.Cancel()
				u.want = 0
			case 2:
				u.Pass()
			case 3:
				if u.want == 0 {
					u.held = r.IntN(u.held + mib/8)
					u.Tell(u.held, u.held/2, int64(r.IntN(100)))
				}
			case 4:
				n := r.IntN(mib / 8)
				channel += n
				b.Hold(n)
			case 5:
				n := r.IntN(channel + 1)
				channel -= n
				b.Release(n)
			}
			if u.want > 0 && u.Take(u.want, u.own) {
				u.held += u.want
				u.want = 0
			}
			sum := channel
			for _, u := range users {
				sum += u.held + int(u.Share.want.got)*b2i(u.Share.want.inLine)
				if u.Held() != u.held {
					t.Fatalf("seed %d: a share counts %d, has %d", seed, u.Held(), u.held)
				}
			}
			if b.Used() != int64(sum) {
				t.Fatalf("seed %d: %d used, there are %d", seed, b.Used(), sum)
			}
		}
		b.Release(channel)
		for _, u := range users {
			u.Leave()
		}
		if b.Used() != 0 || b.Partial() != 0 || b.Waiting() != 0 || len(b.passes)+len(b.wants)+len(b.shares) != 0 {
			t.Fatalf("seed %d: %d used, %d partial, %d waiting at the end", seed, b.Used(), b.Partial(), b.Waiting())
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Nobody sleeps while there is room, whatever the goroutines do at the same time.
func TestNoWakeUpIsLost(t *testing.T) {
	b := NewBudget(300 << 10)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			woken := make(chan struct{}, 1)
			s := b.Join(func() {
				select {
				case woken <- struct{}{}:
				default:
				}
			})
			defer s.Leave()
			wait := func() bool {
				select {
				case <-woken:
					return true
				case <-time.After(20 * time.Second):
					t.Error("not woken")
					return false
				}
			}
			for i := range 3000 {
				if i%10 == 0 {
					for !s.Take(100<<10, 0) {
						if !wait() {
							return
						}
					}
					s.Tell(0, 0, Never)
				}
				for !s.Pass() {
					if !wait() {
						return
					}
				}
				b.Hold(90 << 10)
				go b.Release(90 << 10)
			}
		})
	}
	all.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for b.Used() != 0 || b.Waiting() != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d used, %d waiting", b.Used(), b.Waiting())
		}
		time.Sleep(time.Millisecond)
	}
}
