package socketserver_test

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"kanal/libs/memory"
	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// bank is a request channel of the test's that holds frames in a budget, as the one of the front end does.
type bank struct {
	*handlers
	budget *memory.Budget

	accounts sync.Mutex
	account  map[account]int // bytes of requests without outcome
}

type account struct {
	processor int
	token     uint64
}

func (b *bank) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	b.accounts.Lock()
	defer b.accounts.Unlock()
	ok, reason := b.handlers.Submit(r)
	if ok {
		b.account[account{r.Conn.Processor, r.Conn.Token}] = len(r.Frame)
		b.budget.Hold(len(r.Frame))
	}
	return ok, reason
}

func (b *bank) Disconnected(processor int, token uint64, half bool) {
	if !half {
		b.settle(account{processor, token})
	}
	b.handlers.Disconnected(processor, token, half)
}

// settle gives back what a request holds: it has its outcome.
func (b *bank) settle(a account) {
	b.accounts.Lock()
	defer b.accounts.Unlock()
	if n, ok := b.account[a]; ok {
		delete(b.account, a)
		b.budget.Release(n)
	}
}

func (b *bank) answer(r held) {
	b.settle(account{r.processor, r.token})
	b.handlers.answer(r)
}

// serveAll answers everything until stop is closed.
func (b *bank) serveAll(stop chan struct{}) {
	for {
		select {
		case r := <-b.requests:
			b.answer(r)
		case <-stop:
			return
		}
	}
}

func startBank(t *testing.T, limit int64, l socketserver.ListenerConfig) (*fixture, *bank) {
	t.Helper()
	b := &bank{handlers: newHandlers(), budget: memory.NewBudget(limit), account: map[account]int{}}
	f := prepareConfig(t, b, socketserver.Config{Listeners: []socketserver.ListenerConfig{l}, Budget: b.budget})
	f.handlers = b.handlers
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	return f, b
}

// wantUsed waits until the budget counts exactly so many bytes.
func (b *bank) wantUsed(t *testing.T, n int64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for b.budget.Used() != n || n == 0 && (b.budget.Partial() != 0 || b.budget.Waiting() != 0) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes used, want %d; %d partial, %d wait", b.budget.Used(), n, b.budget.Partial(), b.budget.Waiting())
		}
		time.Sleep(time.Millisecond)
	}
}

// announce sends the size of a frame and its first bytes.
func (c client) announce(size, bytes int) {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, bytes)...)
	copy(b[4:], request(1)[4:])
	c.send(b)
}

const kib, mib = 1 << 10, 1 << 20

// I2, I6, 5.3 #21 and #23: frames that are announced and do not come may have half of the budget, counted by the bytes
// that have come. Beyond it the stalest is closed, on whatever processor; small requests are served all along.
func TestPartialFramesHaveHalfOfTheBudget(t *testing.T) {
	const limit, each, clients, buffer = 4 * mib, 100 * kib, 60, 256 * kib
	f, b := startBank(t, limit, socketserver.ListenerConfig{Processors: 2})
	stop := make(chan struct{})
	defer close(stop)
	go b.serveAll(stop)
	small := f.dial(t)
	var dribblers []client
	for i := range clients {
		c := f.dial(t)
		c.announce(100*mib, each)
		dribblers = append(dribblers, c)
		small.send(request(int32(i)))
		small.wantAnswer(int32(i))
		eventually(t, "the bytes are counted", func() bool { return b.budget.Partial() >= int64(min((i+1)*each, limit/2-4*each)) })
		if p := b.budget.Partial(); p > limit/2+3*buffer { // one on each processor before the other has closed its own
			t.Fatalf("%d bytes in partial frames, of %d", p, limit)
		}
	}
	eventually(t, "partial frames keep to their half", func() bool { return b.budget.Partial() <= limit/2 })
	closed := int(f.metric(t, "kanal_connections_closed_total", network.ReasonMemoryPressure.String()))
	if closed < clients-limit/2/each || closed > clients-4 { // a buffer is larger than what is in it
		t.Errorf("%d of %d closed", closed, clients)
	}
	if !f.log.has("connection closed", "reason=memory_pressure") {
		t.Error("not logged")
	}
	for i, c := range dribblers[:closed-3] { // the last may have been overtaken between two processors
		c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("client %d of %d closed is open", i, closed)
		}
	}
	for _, c := range dribblers {
		c.Close()
	}
	small.Close()
	b.wantUsed(t, 0)
}

// Whoever sends gets through, although others that do not hold all that partial frames may have.
func TestSenderGetsThroughAmongStaleOnes(t *testing.T) {
	f, b := startBank(t, 8*mib, socketserver.ListenerConfig{Processors: 2})
	for range 40 {
		f.dial(t).announce(mib, 95*kib)
	}
	eventually(t, "the half is full", func() bool { return b.budget.Partial() > 3*mib })
	c := f.dial(t)
	go c.Write(request(7, make([]byte, 3*mib)...))
	r := f.next(t)
	if r.correlation != 7 {
		t.Fatalf("request %d", r.correlation)
	}
	b.answer(r)
	c.wantAnswer(7)
}

// A frame that was collected in a buffer is counted once when it is with the handler, and not at all after its outcome:
// answer, NoOp or close.
func TestFrameCountsOnce(t *testing.T) {
	f, b := startBank(t, 24*mib, socketserver.ListenerConfig{})
	for _, size := range []int{100, 3 * kib, 60 * kib, 300 * kib, 5 * mib, 12 * mib} {
		for _, kind := range []socketserver.ResponseKind{socketserver.Send, socketserver.NoOp, socketserver.CloseConnection} {
			c := f.dial(t)
			whole := request(1, make([]byte, size)...)
			go c.Write(whole)
			r := f.next(t)
			b.wantUsed(t, int64(len(whole)-4))
			b.settle(account{r.processor, r.token})
			b.respond(r, socketserver.Response{Kind: kind, Frame: answerFrame(1, nil)})
			b.wantUsed(t, 0)
			c.Close()
		}
	}
}

// G6, I6, I7: when the budget is used up nothing more is read; what waits stays in the sockets. Every answer lets the
// next in at once, in the order in which they came, and all finish.
func TestNothingIsReadBeyondTheBudget(t *testing.T) {
	const limit, each, clients = 4 * mib, 40 * kib, 300
	f, b := startBank(t, limit, socketserver.ListenerConfig{Processors: 2})
	whole := request(1, make([]byte, each)...)
	for range clients {
		c := f.dial(t)
		go c.Write(whole)
	}
	eventually(t, "the budget is used up", func() bool { return b.budget.Waiting() == 2 })
	if most := int64(limit + 2*memory.PassBytes + 2*len(whole)); b.budget.Used() > most {
		t.Errorf("%d used, want at most %d", b.budget.Used(), most)
	}
	for range clients {
		b.answer(f.next(t))
		if most := int64(limit + 2*memory.PassBytes + 2*len(whole)); b.budget.Used() > most {
			t.Errorf("%d used, want at most %d", b.budget.Used(), most)
		}
	}
	f.none(t)
	b.wantUsed(t, 0)
	if b.budget.Depleted() == 0 {
		t.Error("no depleted time (I12)")
	}
}

// 5.3 #24: a large request gets in among small ones that take all room there is, before these have brought more than a
// few times its size; and they go on meanwhile. It has a quarter of the budget: where partial frames come to half of it
// together, the one whose bytes came longest ago is closed, and that may be a large one.
func TestLargeRequestAmongEndlessSmallOnes(t *testing.T) {
	const limit, large, each, clients = 16 * mib, 4 * mib, 30 * kib, 700
	f, b := startBank(t, limit, socketserver.ListenerConfig{Processors: 2})
	var writers sync.WaitGroup
	defer writers.Wait()
	var all []client
	for range clients {
		all = append(all, f.dial(t))
	}
	big := f.dial(t)
	all = append(all, big)
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	small := request(1, make([]byte, each)...)
	for _, c := range all[:clients] {
		writers.Go(func() {
			for {
				if _, err := c.Write(small); err != nil {
					return
				}
			}
		})
	}
	eventually(t, "small requests use the budget up", func() bool { return b.budget.Used() >= limit })
	writers.Go(func() { big.Write(request(2, make([]byte, large)...)) })
	overtaken := 0
	for deadline := time.Now().Add(3 * patience); ; {
		r := f.next(t)
		if r.correlation == 2 {
			b.answer(r)
			break
		}
		overtaken += len(r.frame)
		time.AfterFunc(2*time.Millisecond, func() { b.answer(r) })
		if time.Now().After(deadline) {
			t.Fatalf("the large request is starved: %d MiB of small ones have overtaken it", overtaken/mib)
		}
	}
	t.Logf("%d MiB of small requests came before it", overtaken/mib)
	if overtaken > 20*large {
		t.Errorf("%d MiB of small requests have overtaken it", overtaken/mib)
	}
}
