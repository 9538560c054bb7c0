package network

import (
	"math/bits"
	"sync"
)

const (
	// readRoom is what one read may bring.
	readRoom = 64 << 10
	// scratchSize holds the reads of one pass: it goes on until less than readRoom is left.
	scratchSize = 2 * readRoom

	smallestBuffer = 512
	largestSmall   = 64 << 10
	largestPooled  = 16 << 20
	// keptBytes bounds what the small buffers' free lists of one selector hold on to.
	keptBytes = 4 << 20
)

// buffers are where one selector's arriving bytes lie: the scratch for what is served in the pass in which it came, and
// buffers for what stays longer. Free small buffers wait in lists by power of two, without a lock since one goroutine
// uses them. Large ones are shared by all selectors and left to the garbage collector's cycles: a load of large frames
// needs many at a time, and nothing once it has gone.
type buffers struct {
	scratch []byte
	used    int // of scratch, in this pass
	free    [8][][]byte
	kept    int // bytes in free
	held    int // bytes in buffers that channels hold
}

func newBuffers() *buffers { return &buffers{scratch: make([]byte, scratchSize)} }

// full tells that this pass can take no further read.
func (m *buffers) full() bool { return len(m.scratch)-m.used < readRoom }

// room is for one read; what is joined before it comes out of it.
func (m *buffers) room() []byte { return m.scratch[m.used : m.used+readRoom] }

// get gives an empty buffer of at least n bytes.
func (m *buffers) get(n int) []byte {
	var b []byte
	switch {
	case n <= largestSmall:
		b = m.getSmall(n)
	case n <= largestPooled:
		b = getLarge(n)
	default:
		b = make([]byte, 0, n)
	}
	m.held += cap(b)
	return b
}

// put takes a buffer back.
func (m *buffers) put(b []byte) {
	m.held -= cap(b)
	switch {
	case cap(b) <= largestSmall:
		m.putSmall(b[:0])
	case cap(b) <= largestPooled:
		large[largeClass(cap(b))].Put(&b)
	}
}

func (m *buffers) getSmall(n int) []byte {
	class := smallClass(n)
	list := m.free[class]
	if len(list) == 0 {
		return make([]byte, 0, smallestBuffer<<class)
	}
	b := list[len(list)-1]
	m.free[class] = list[:len(list)-1]
	m.kept -= cap(b)
	return b
}

func (m *buffers) putSmall(b []byte) {
	if m.kept+cap(b) <= keptBytes {
		m.kept += cap(b)
		class := smallClass(cap(b))
		m.free[class] = append(m.free[class], b)
	}
}

// smallClass is the list for n bytes: 0 up to smallestBuffer, then one for each doubling.
func smallClass(n int) int {
	if n <= smallestBuffer {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(smallestBuffer-1))
}

// large has eight pools for each doubling between largestSmall and largestPooled.
var large [8 * 8]sync.Pool

func getLarge(n int) []byte {
	step := bits.Len(uint(n-1)) - 4
	n = (n + 1<<step - 1) >> step << step
	if b, ok := large[largeClass(n)].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, n)
}

// largeClass is the pool of a size that getLarge has rounded.
func largeClass(n int) int {
	doubling := bits.Len(uint(n - 1))
	return (doubling-bits.Len(uint(largestSmall)))*8 + n>>(doubling-4) - 9
}
