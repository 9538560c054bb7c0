package requestchannel

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// ErrProcessorExists reports a processor that has a lane already.
var ErrProcessorExists = errors.New("requestchannel: processor exists")

// MaxProcessors bounds the numbers of processors: the envelope has 16 bits for
// them.
const MaxProcessors = 1 << 16

// lane is one processor's way into the channel and back.
type lane struct {
	// immutable once the processor is added
	processor int
	reply     string // subject of its answers
	answers   *nats.Subscription

	// owned by the processor's loop
	staged []*Pending
	next   uint64 // request ids: the processor's number above 48 bits of count

	waiting atomic.Bool // its calls were refused, it wants to be resumed

	// owned by the dispatcher
	outcomes []Outcome // of this pass

	_ [64]byte // loops do not share a cache line
}

// lanes is a snapshot, replaced as a whole: loops and the dispatcher read it
// without a lock.
type lanes struct {
	byProcessor []*lane // nil where there is none
	all         []*lane
}

// with gives the snapshot that has l as well.
func (ls *lanes) with(l *lane) *lanes {
	by := slices.Clone(ls.byProcessor)
	if more := l.processor + 1 - len(by); more > 0 {
		by = append(by, make([]*lane, more)...)
	}
	by[l.processor] = l
	return &lanes{by, append(slices.Clone(ls.all), l)}
}

// without gives the snapshot that lacks l.
func (ls *lanes) without(l *lane) *lanes {
	by := slices.Clone(ls.byProcessor)
	by[l.processor] = nil
	for len(by) > 0 && by[len(by)-1] == nil {
		by = by[:len(by)-1]
	}
	return &lanes{by, slices.DeleteFunc(slices.Clone(ls.all), func(other *lane) bool { return other == l })}
}

// of finds a processor's lane, nil if it has none.
func (ls *lanes) of(processor int) *lane {
	if processor < 0 || processor >= len(ls.byProcessor) {
		return nil
	}
	return ls.byProcessor[processor]
}

// AddProcessor gives a processor its lane and listens for its answers; its
// number is below MaxProcessors. It may be called at any time
// (RequestChannel.addProcessor).
func (c *Channel) AddProcessor(processor int) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	ls := c.lanes.Load()
	if processor < 0 || processor >= MaxProcessors {
		return fmt.Errorf("requestchannel: processor %d is not below %d", processor, MaxProcessors)
	}
	if ls.of(processor) != nil {
		return fmt.Errorf("%w: %d", ErrProcessorExists, processor)
	}
	// Request ids go on where the last lane ended, so that a number that is used
	// again never meets late answers to its past.
	l := &lane{processor: processor, reply: c.cfg.Response(c.cfg.FrontEnd, processor), next: c.retired}
	var err error
	if l.answers, err = c.listen(c.nc, l.reply); err != nil {
		return err
	}
	c.lanes.Store(ls.with(l))
	return nil
}

// RemoveProcessor takes a processor's lane away. Its loop must have ended and
// told the end of each of its connections (RequestChannel.removeProcessor).
func (c *Channel) RemoveProcessor(processor int) {
	c.changing.Lock()
	defer c.changing.Unlock()
	ls := c.lanes.Load()
	l := ls.of(processor)
	if l == nil {
		return
	}
	c.flush(l)
	c.retired = max(c.retired, l.next)
	c.lanes.Store(ls.without(l))
	_ = l.answers.Unsubscribe() // an error: the connection is gone, and the subscription with it
}
