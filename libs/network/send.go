package network

import "encoding/binary"

// Send is one frame on its way out (NetworkSend).
type Send struct {
	Frame   []byte // without its size; kept as it is until the send is completed or lost
	Cookie  any    // the sender's own
	Queued  int64  // the sender's own: when it was handed over
	Settled bool   // the sender's own: the channel's state has moved on already (Pipelined)
}

// CompletedSend is a send whose last byte has gone to the socket.
type CompletedSend struct {
	Channel *Channel
	Send
}

// node is a queued send; nodes come from the selector's free list.
type node struct {
	Send
	next *node
}

// length is what the node has on the wire.
func (n *node) length() int { return sizeBytes + len(n.Frame) }

// output is one channel's queue of sends.
type output struct {
	head, tail *node
	written    int // bytes of head that are gone, size bytes included
	bytes      int // bytes to go
}

func (o *output) push(n *node) {
	if o.tail == nil {
		o.head = n
	} else {
		o.tail.next = n
	}
	o.tail = n
	o.bytes += n.length()
}

func (o *output) pop() *node {
	n := o.head
	o.head = n.next
	if o.head == nil {
		o.tail = nil
	}
	n.next = nil
	return n
}

// direct is the rest of a frame from which on it is written where it lies, instead of being gathered.
const direct = 32 << 10

// chunk gives the next bytes to write: as many sends as fit, gathered in into, so that all answers of a pass leave in
// one write; or the rest of a large frame itself.
func (o *output) chunk(into []byte) []byte {
	if o.written >= sizeBytes && o.head.length()-o.written >= direct {
		return o.head.Frame[o.written-sizeBytes:]
	}
	out := into[:0]
	skip := o.written
	for n := o.head; n != nil && cap(out)-len(out) > sizeBytes; n = n.next {
		var size [sizeBytes]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(n.Frame)))
		out = append(out, size[min(skip, sizeBytes):]...)
		body := n.Frame[max(skip-sizeBytes, 0):]
		out = append(out, body[:min(len(body), cap(out)-len(out))]...)
		skip = 0
	}
	return out
}
