package network

import (
	"errors"
	"iter"
	"sync"

	"kanal/libs/epoll"
	"kanal/libs/memory"
)

// ErrTooManyChannels reports a selector with a million channels.
var ErrTooManyChannels = errors.New("network: too many channels on one selector")

// A token is slot and serial: the slot finds the channel without a map, the serial makes the token unique. 44 bits of
// serial last 11 years at 50,000 connections a second.
const (
	slotBits = 20
	maxSlots = 1 << slotBits
)

// Config of a Selector.
type Config struct {
	MaxReceiveSize  int          // largest frame taken, without its size bytes (socket.request.max.bytes)
	ReceivesPerPoll int          // of one channel; 1 for servers (F5, also if 0), more for clients that do not mute
	Now             func() int64 // monotonic nanoseconds; asked once per Poll. Without it there are no deadlines
	Deadlines       Deadlines
	Budget          *memory.Budget // of the bytes in channels' buffers; nil: none. It needs Now
}

// Receive is a complete frame; it is valid until the next Poll.
type Receive struct {
	Channel *Channel
	Frame   []byte // without its size bytes
	// Err tells, of a confined channel, that the next frame's size is invalid, and Reason how that is called. There is
	// no frame then and there will be none: the channel has to be muted and closed.
	Err    error
	Reason CloseReason
}

// Closed is a closed channel, told once.
type Closed struct {
	Channel *Channel
	Reason  CloseReason
	Err     error  // what led to it, if anything but an end of stream
	Lost    []Send // whose last byte did not reach the socket
}

// Stats count since the selector was made.
type Stats struct{ Polls, Reads, Writes, ReceivedBytes, SentBytes, Receives, Sends uint64 }

// Selector waits for all channels of one goroutine and moves their bytes. Each Poll fills the lists that the owner then
// works through: Receives, CompletedSends, HalfClosed, Disconnected, Connected. All methods belong to that goroutine,
// except Wake.
type Selector struct {
	// immutable after New
	poller    *epoll.Poller
	limit     int
	perPoll   int
	clock     func() int64
	deadlines Deadlines
	share     *memory.Share // of Config.Budget

	now    int64 // when the last Poll got its events
	waited waited
	timers timers

	mem      *buffers
	gathered []byte // scratch of writes
	slots    []*Channel
	freed    []uint32 // empty slots
	serial   uint64
	open     int
	nodes    *node // free list
	stats    Stats

	ready    []*Channel // to be served without waiting for an event
	turn     []*Channel // those of them that Poll is working through
	again    []*Channel // those of them that need another turn
	dirty    []*Channel // with sends that wait for the next flush
	retiring []*Channel // served in this pass
	short    []*Channel // that wait for memory, in line
	blocked  int        // of ready: wait until the budget lets the selector read on
	partials partials

	posted   posted         // channels whose handshake has moved on in a goroutine of its own
	inFlight sync.WaitGroup // those goroutines
	cipher   *ciphertext    // scratch of all TLS transports, made with the first

	receives     []Receive
	completed    results[CompletedSend]
	halfClosed   results[*Channel]
	prepared     results[*Channel]
	disconnected results[Closed]
	connected    results[*Channel]
}

// New makes a selector with its descriptors.
func New(cfg Config) (*Selector, error) {
	poller, err := epoll.New()
	if err != nil {
		return nil, err
	}
	s := &Selector{
		poller: poller, limit: cfg.MaxReceiveSize, perPoll: max(cfg.ReceivesPerPoll, 1),
		mem: newBuffers(), gathered: make([]byte, readRoom),
	}
	if cfg.Now != nil {
		s.clock, s.deadlines, s.now = cfg.Now, cfg.Deadlines, cfg.Now()
	}
	if cfg.Budget != nil {
		s.share = cfg.Budget.Join(s.Wake)
	}
	return s, nil
}

// Wake ends the present or next Poll's wait (F10). Any goroutine may call it while the selector is open.
func (s *Selector) Wake() { s.poller.Wake() }

// ClearWake forgets the wake-ups so far; the loop calls it before it looks at its doors.
func (s *Selector) ClearWake() { s.poller.ClearWake() }

// Register takes over a connected non-blocking socket, plaintext if there are no layers. On an error the socket remains
// the caller's.
func (s *Selector) Register(fd int, layers Layers, attachment any) (*Channel, error) {
	c := &Channel{plain: plaintext{fd}, Attachment: attachment, ready: !layers.any()}
	return s.add(c, s.build(c, layers))
}

func (s *Selector) add(c *Channel, interest uint32) (*Channel, error) {
	c.limit = s.limit
	slot, err := s.takeSlot()
	if err != nil {
		return nil, err
	}
	s.serial++
	c.token = s.serial<<slotBits | uint64(slot)
	// Edge-triggered: a muted channel costs no change of interest and no wake-ups beyond one per arrival, and the
	// peer's half-close is told once.
	if err := s.poller.Add(c.plain.fd, interest|epoll.PeerClosed|epoll.Edge, c.token); err != nil {
		s.freed = append(s.freed, slot)
		return nil, err
	}
	s.slots[slot] = c
	s.open++
	s.begin(c)
	return c, nil
}

func (s *Selector) takeSlot() (uint32, error) {
	if n := len(s.freed); n > 0 {
		slot := s.freed[n-1]
		s.freed = s.freed[:n-1]
		return slot, nil
	}
	if len(s.slots) == maxSlots {
		return 0, ErrTooManyChannels
	}
	s.slots = append(s.slots, nil)
	return uint32(len(s.slots) - 1), nil
}

// Channel finds an open channel by its token, nil when it is gone.
func (s *Selector) Channel(token uint64) *Channel {
	slot := token & (maxSlots - 1)
	if slot < uint64(len(s.slots)) {
		if c := s.slots[slot]; c != nil && c.token == token {
			return c
		}
	}
	return nil
}

// Channels goes over the open channels; those it has come to may be closed meanwhile.
func (s *Selector) Channels() iter.Seq[*Channel] {
	return func(yield func(*Channel) bool) {
		for _, c := range s.slots {
			if c != nil && !yield(c) {
				return
			}
		}
	}
}

// Open is the number of open channels.
func (s *Selector) Open() int { return s.open }

// Stats gives the counters.
func (s *Selector) Stats() Stats { return s.stats }

// Now is when the last Poll got its events, by Config.Now.
func (s *Selector) Now() int64 { return s.now }

// Receives are the frames of the last Poll.
func (s *Selector) Receives() []Receive { return s.receives }

// CompletedSends gives the sends completed since it was last called. It and the following are valid until called again.
func (s *Selector) CompletedSends() []CompletedSend { return s.completed.take() }

// HalfClosed gives the channels whose peer has shut down its half since it was last called, closed ones included.
func (s *Selector) HalfClosed() []*Channel { return s.halfClosed.take() }

// Disconnected gives the channels closed since it was last called, whoever closed them: there is no other way out.
func (s *Selector) Disconnected() []Closed { return s.disconnected.take() }

// Prepared gives the channels that have become ready since it was last called, closed ones included; those that were
// ready when they were registered are not among them.
func (s *Selector) Prepared() []*Channel { return s.prepared.take() }

// Connected gives the outgoing channels that are established since it was last called.
func (s *Selector) Connected() []*Channel { return s.connected.take() }

// Send queues a frame; it is written at the start of the next Poll, together with the channel's others.
func (s *Selector) Send(c *Channel, send Send) {
	n := s.nodes
	if n == nil {
		n = new(node)
	} else {
		s.nodes = n.next
		n.next = nil
	}
	n.Send = send
	c.out.push(n)
	if !c.dirty && !c.full {
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
}

// pipelinedBytes bounds the answers that may wait unwritten for those of requests already here.
const pipelinedBytes = readRoom

// Pipelined tells that the channel's next request is here and its socket takes what it is given. The owner may then
// count an answer of that many bytes as sent when it is queued, and serve that request at once, so that both answers
// leave in one write.
func (s *Selector) Pipelined(c *Channel, answer int) bool {
	return !c.full && c.out.bytes+answer < pipelinedBytes && c.in.complete(c.limit)
}

// MaybeUnmute reads from the channel again if its state allows. What arrived meanwhile is served by the next Poll
// without waiting for an event (F8).
func (s *Selector) MaybeUnmute(c *Channel) bool {
	next, unmuted := c.state.MaybeUnmute()
	c.state = next
	if unmuted {
		s.touch(c)
		s.resume(c)
	}
	return unmuted
}

// resume queues a channel that has something to be served.
func (s *Selector) resume(c *Channel) {
	if c.queued || c.closed || c.state != NotMuted {
		return
	}
	if c.readable || c.ended || c.in.complete(c.limit) {
		c.queued = true
		s.ready = append(s.ready, c)
	}
}

// Park takes a receive of this pass back: its bytes stay with the channel, which the owner mutes, until Next.
func (s *Selector) Park(c *Channel) {
	c.in.unread()
	c.parked = true
}

// Next serves a parked channel's frame again, nil when there is none. Like a receive's, the frame is valid until the
// next Poll and can be parked once more.
func (s *Selector) Next(c *Channel) []byte {
	frame, err := c.in.next(c.limit)
	if frame == nil || err != nil {
		return nil
	}
	c.parked = false
	s.retireLater(c)
	return frame
}

func (s *Selector) retireLater(c *Channel) {
	if !c.retiring {
		c.retiring = true
		s.retiring = append(s.retiring, c)
	}
}

// Close closes all channels and the selector's descriptors. The lists can still be taken.
func (s *Selector) Close() error {
	for c := range s.Channels() {
		s.CloseChannel(c, ReasonShutdown, nil)
	}
	s.inFlight.Wait()
	s.share.Leave()
	return s.poller.Close()
}
