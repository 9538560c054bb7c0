package network

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pair registers one end of a socket pair and gives the other.
func pair(t testing.TB, s *Selector) (*Channel, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	c, err := s.Register(fds[0], Layers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, fds[1]
}

// Rows F2, K2, testCloseOldestConnectionWithMultiplePendingReceives: a pass takes its events before it looks at the
// deadlines, with the time from after the wait: who brings something in the very pass in which its time is over, lives.
func TestEventsComeBeforeDeadlines(t *testing.T) {
	s, clock := newTimed(t, Deadlines{Idle: 100})
	speaking, peer := pair(t, s)
	silent, _ := pair(t, s)
	for range 3 {
		clock.now += 100
		unix.Write(peer, frames("x")[:4])
		s.Poll(0)
		if speaking.Closed() || !silent.Closed() {
			t.Fatalf("the speaking one is closed: %t, the silent one: %t", speaking.Closed(), silent.Closed())
		}
		unix.Write(peer, []byte("x"))
		s.Poll(0)
		if len(s.Receives()) != 1 {
			t.Fatal("nothing was received")
		}
	}
}

// Row F3: one pass may finish an answer and read the next request of the same channel.
func TestWriteAndReadInOnePass(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 100})
	c, peer := pair(t, s)
	s.Send(c, Send{Frame: make([]byte, 1<<20)})
	s.Poll(0)
	room := 1<<20 - c.Unsent() // of the socket
	for c.Unsent() > 0 {
		empty(t, peer)
		s.Poll(0)
	}
	s.CompletedSends()
	empty(t, peer)
	s.Send(c, Send{Frame: make([]byte, room+room/2)})
	s.Poll(0)
	if len(s.CompletedSends()) != 0 {
		t.Fatal("the socket took all at once")
	}
	empty(t, peer)
	unix.Write(peer, frames("next"))
	s.Poll(0)
	if len(s.CompletedSends()) != 1 || len(s.Receives()) != 1 {
		t.Errorf("%d bytes unsent, %d receives", c.Unsent(), len(s.Receives()))
	}
}

// empty reads what is there.
func empty(t testing.TB, fd int) {
	t.Helper()
	for b := make([]byte, 1<<16); ; {
		n, err := unix.Read(fd, b)
		if err == unix.EAGAIN {
			return
		}
		if n <= 0 {
			t.Fatal(n, err)
		}
	}
}

// Row F13, testCloseAllChannels: a transport that fails to close does not keep the others from being closed, and all
// closes are told.
func TestCloseOfTheSelectorClosesAll(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 100})
	wires := []*wire{{}, {}, {}}
	for i, w := range wires {
		var transport Transport = w
		if i == 1 {
			transport = &unclosable{w}
		}
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		c, err := s.Register(fd, Layers{}, i)
		if err != nil {
			t.Fatal(err)
		}
		c.transport = transport
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	gone := s.Disconnected()
	if len(gone) != len(wires) || s.Open() != 0 {
		t.Fatalf("%d closes told, %d open", len(gone), s.Open())
	}
	for i, c := range gone {
		if !wires[i].closed || c.Reason != ReasonShutdown || (c.Err != nil) != (i == 1) {
			t.Errorf("channel %v: closed %t, %v, %v", c.Channel.Attachment, wires[i].closed, c.Reason, c.Err)
		}
	}
}

type unclosable struct{ *wire }

func (u *unclosable) Close() error {
	u.closed = true
	return errors.New("network: not closed, on purpose")
}

// Rows F1, J2, J10, testDisconnectWithIntermediateBufferedBytes, testChannelCloseWhileProcessingReceives: a channel that
// is closed, in whatever state, is in none of the selector's lists any more once a pass is over, and holds no buffer.
func TestClosedChannelsLeaveNothingBehind(t *testing.T) {
	chance := rand.New(rand.NewPCG(4, 4))
	for range 300 {
		s, clock := newTimed(t, Deadlines{Idle: time.Hour})
		for range 1 + chance.IntN(10) {
			c := attach(t, s, &wire{
				in:     frames("first", "second", string(noise(chance, 100))),
				pieces: []int{1 + chance.IntN(40), chance.IntN(2), 0},
				takes:  []int{chance.IntN(100), 0, 0, 0, 0, 0},
			})
			if chance.IntN(2) == 0 {
				s.Send(c, Send{Frame: noise(chance, chance.IntN(3000))})
			}
			arrive(s, c)
		}
		for range chance.IntN(4) {
			clock.now++
			s.Poll(0)
			for _, r := range s.Receives() {
				closeSome(s, r.Channel, chance)
			}
		}
		for c := range s.Channels() {
			s.CloseChannel(c, ReasonHandlerClosed, nil)
		}
		s.Poll(0)
		if len(s.Receives()) > 0 {
			t.Fatal("a closed channel was served")
		}
		s.CompletedSends()
		s.Disconnected()
		if s.Open() > 0 || s.busy() || len(s.timers) > 0 || s.mem.held > 0 || len(s.again)+len(s.retiring) > 0 {
			t.Fatalf("%d open, busy %t, %d timers, %d bytes held", s.Open(), s.busy(), len(s.timers), s.mem.held)
		}
		s.Close()
	}
}

// closeSome does one of the things that are done to a channel with a receive.
func closeSome(s *Selector, c *Channel, chance *rand.Rand) {
	c.Mute()
	switch chance.IntN(4) {
	case 0:
		s.CloseChannel(c, ReasonHandlerClosed, nil)
	case 1:
		s.Park(c)
	case 2:
		s.MaybeUnmute(c)
	}
}

// Row I16, in our terms: there are no files to send, but the bytes of a large answer go to the socket from where they
// lie, whatever the socket takes at a time.
func TestLargeAnswersAreNotCopied(t *testing.T) {
	o := output{}
	frame := make([]byte, 1<<20)
	o.push(&node{Send: Send{Frame: frame}})
	into := make([]byte, readRoom)
	direct := 0
	for o.head != nil {
		b := o.chunk(into)
		if at := o.written - sizeBytes; at >= 0 && unsafe.SliceData(b) == unsafe.SliceData(frame[at:]) {
			direct += len(b)
			b = b[:min(len(b), 100_000)]
		}
		if o.written += len(b); o.written == o.head.length() {
			o.pop()
		}
	}
	if copied := len(into) + 32<<10; direct < len(frame)-copied {
		t.Errorf("only %d of %d bytes were written from where they lie", direct, len(frame))
	}
}
