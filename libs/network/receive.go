package network

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrInvalidReceive reports a frame's size below 0 or above the limit (InvalidReceiveException, I3).
var ErrInvalidReceive = errors.New("network: invalid receive")

const (
	sizeBytes = 4
	// joinLimit is the longest unfinished frame that is put before the next read in the scratch. A longer one is read
	// to its end in its own buffer: joining costs a copy per read, so a peer that dribbles could make us copy for ever.
	joinLimit = 4 << 10
)

// receive holds one channel's bytes that have not been served yet, and cuts frames out of them (NetworkReceive, I1-I3).
//
// Within a pass data may lie in the selector's scratch; retire moves what is left into a buffer of the channel's own.
// That buffer grows with the bytes that arrive and never by what a size announces, so that a peer which announces
// 100 MB holds as much memory as it sends (the weakness of I2).
type receive struct {
	data  []byte
	off   int // data[:off] is served
	last  int // length of the frame served last, with its size, while it can be taken back
	owned bool
}

// next cuts the next frame, without its size bytes; nil when there is none complete yet. The frame is valid until
// retire.
func (r *receive) next(limit int) ([]byte, error) {
	rest := r.data[r.off:]
	if len(rest) < sizeBytes {
		return nil, nil
	}
	size := int(int32(binary.BigEndian.Uint32(rest)))
	if size < 0 || size > limit {
		return nil, fmt.Errorf("%w: size %d, limit %d", ErrInvalidReceive, size, limit)
	}
	if len(rest) < sizeBytes+size {
		return nil, nil
	}
	r.last = sizeBytes + size
	r.off += r.last
	return rest[sizeBytes:r.last:r.last], nil
}

// unread takes the frame served last back: next gives it again.
func (r *receive) unread() {
	r.off -= r.last
	r.last = 0
}

// complete tells whether next gives a frame or an error.
func (r *receive) complete(limit int) bool {
	rest := r.data[r.off:]
	if len(rest) < sizeBytes {
		return false
	}
	size := int(int32(binary.BigEndian.Uint32(rest)))
	return size < 0 || size > limit || len(rest) >= sizeBytes+size
}

// announced is the whole length of the unfinished frame at the front, 0 while its size is not known.
func (r *receive) announced() int {
	rest := r.data[r.off:]
	if len(rest) < sizeBytes {
		return 0
	}
	return sizeBytes + int(int32(binary.BigEndian.Uint32(rest)))
}

// fill makes one read; the frame at the front must be unfinished and of a valid size. A small rest is joined with the
// new bytes in the scratch, which therefore may bring many frames at once.
func (r *receive) fill(t Transport, m *buffers) (n int, more bool, err error) {
	if total := r.announced(); total > joinLimit {
		return r.fillOwn(t, m, total)
	}
	room := m.room()
	joined := copy(room, r.data[r.off:])
	n, more, err = t.Read(room[joined:])
	if n == 0 {
		return n, more, err
	}
	r.release(m)
	m.used += joined + n
	r.data = room[: joined+n : joined+n]
	return n, more, err
}

// needs is how large a buffer the next read of the unfinished frame has to have first; 0: none but what there is.
func (r *receive) needs() int {
	total := r.announced()
	if total <= joinLimit || r.owned && len(r.data) < cap(r.data) {
		return 0
	}
	return r.growth(total)
}

// readsOwn tells that the next read needs no memory but the channel's buffer.
func (r *receive) readsOwn() bool {
	return r.owned && len(r.data) < cap(r.data) && r.announced() > joinLimit
}

// fillOwn reads into the channel's buffer, at most to the end of the frame, so that what follows it arrives in the
// scratch again.
func (r *receive) fillOwn(t Transport, m *buffers, total int) (n int, more bool, err error) {
	if !r.owned || len(r.data) == cap(r.data) {
		r.own(m, total)
	}
	end := min(cap(r.data), r.off+total)
	n, more, err = t.Read(r.data[len(r.data):end])
	r.data = r.data[:len(r.data)+n]
	return n, more, err
}

// growth is how large the next buffer is: a few times what is there, but no more than total. From 64 KiB on it is four
// times, since growing costs a copy.
func (r *receive) growth(total int) int {
	rest := len(r.data) - r.off
	room := max(2*rest, joinLimit)
	if rest >= readRoom {
		room *= 2
	}
	return min(total, room)
}

// own moves the rest into a buffer of the channel's with room for more.
func (r *receive) own(m *buffers, total int) {
	rest := r.data[r.off:]
	buffer := append(m.get(r.growth(total)), rest...)
	r.release(m)
	r.data, r.owned = buffer, true
}

// retire ends a pass: the scratch is about to be used again, and a frame served can no longer be taken back.
func (r *receive) retire(m *buffers) {
	r.last = 0
	if r.off == len(r.data) {
		r.release(m)
		return
	}
	// A few bytes must not pin the large buffer of the frames before them.
	if rest := len(r.data) - r.off; !r.owned || r.off > 0 && rest*8 < cap(r.data) {
		r.own(m, rest)
	}
}

// release lets all bytes go.
func (r *receive) release(m *buffers) {
	if r.owned {
		m.put(r.data)
	}
	*r = receive{}
}
