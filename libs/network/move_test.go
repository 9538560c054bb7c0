package network

import (
	"testing"

	"golang.org/x/sys/unix"
)

// W3, 5.2 #12: a channel that moves brings what has arrived, keeps its deadlines and its confinement, has a new token,
// and leaves nothing behind.
func TestChannelsMove(t *testing.T) {
	from, clock := newTimed(t, Deadlines{FirstReceive: 100})
	to, otherClock := newTimed(t, Deadlines{FirstReceive: 100})
	c, peer := pair(t, from)
	from.Confine(c, 50)
	bytes := frames("hello", "you")
	unix.Write(peer, bytes[:7])
	clock.now = 60
	from.Poll(0)
	otherClock.now = 60
	if !c.Quiet() {
		t.Fatal("half a frame is not quiet")
	}
	token := c.Token()
	m, err := from.Detach(c)
	if err != nil {
		t.Fatal(err)
	}
	if from.Open() != 0 || from.Channel(token) != nil || !c.Closed() || len(from.timers) != 0 || from.mem.held != 0 {
		t.Fatalf("something is left: %d open, %d timers, %d bytes", from.Open(), len(from.timers), from.mem.held)
	}
	moved, err := to.Attach(m, "attachment")
	if err != nil {
		t.Fatal(err)
	}
	if moved.Attachment != "attachment" || moved.limit != 50 || !moved.confined {
		t.Fatalf("%+v", moved)
	}
	unix.Write(peer, bytes[7:])
	for _, want := range []string{"hello", "you"} {
		to.Poll(0)
		if got := to.Receives(); len(got) != 1 || string(got[0].Frame) != want {
			t.Fatalf("received %v, want %s", got, want)
		}
	}
	otherClock.now = 101 // confined: its receives do not count
	to.Poll(0)
	if gone := to.Disconnected(); len(gone) != 1 || gone[0].Reason != ReasonFirstRequestDeadline {
		t.Fatalf("%v: the deadline began anew", gone)
	}
	from.Poll(0)
	if gone := from.Disconnected(); len(gone) != 0 {
		t.Fatalf("%v is told where it left", gone)
	}
}

func TestWhatIsUnderWayDoesNotMove(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 100})
	for name, busy := range map[string]func(*Channel, int){
		"a request without its answer": func(c *Channel, _ int) { c.Mute(); c.Handle(RequestReceived) },
		"a throttle": func(c *Channel, _ int) {
			c.Mute()
			c.Handle(RequestReceived)
			c.Handle(ThrottleStarted)
			c.Handle(ResponseSent)
		},
		"an answer to be written": func(c *Channel, _ int) { s.Send(c, Send{Frame: []byte("x")}) },
		"a peer that has left":    func(c *Channel, peer int) { unix.Shutdown(peer, unix.SHUT_WR); c.Mute(); s.Poll(0) },
	} {
		c, peer := pair(t, s)
		if !c.Quiet() {
			t.Fatal("a new channel is not quiet")
		}
		if busy(c, peer); c.Quiet() {
			t.Errorf("quiet in spite of %s", name)
		}
		s.CloseChannel(c, ReasonShutdown, nil)
	}
}
