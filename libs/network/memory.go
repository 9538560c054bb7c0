package network

import "math/bits"

const (
	// readRoom is what one read may bring.
	readRoom = 64 << 10
	// scratchSize holds the reads of one pass: it goes on until less than readRoom is left.
	scratchSize = 2 * readRoom

	smallestBuffer = 512
	largestPooled  = 2 << 20
	// keptBytes bounds what the free lists of one selector hold on to.
	keptBytes = 16 << 20
)

// memory is where one selector's arriving bytes lie: the scratch for what is served in the pass in which it came, and
// buffers for what stays longer. Free buffers wait in lists by power of two; no lock, since one goroutine uses them.
type memory struct {
	scratch []byte
	used    int // of scratch, in this pass
	free    [13][][]byte
	kept    int // bytes in free
	held    int // bytes in buffers that channels hold
}

func newMemory() *memory { return &memory{scratch: make([]byte, scratchSize)} }

// full tells that this pass can take no further read.
func (m *memory) full() bool { return len(m.scratch)-m.used < readRoom }

func (m *memory) room() []byte { return m.scratch[m.used:] }

// get gives an empty buffer of at least n bytes.
func (m *memory) get(n int) []byte {
	if n > largestPooled {
		m.held += n
		return make([]byte, 0, n)
	}
	class := class(n)
	size := smallestBuffer << class
	m.held += size
	list := m.free[class]
	if len(list) == 0 {
		return make([]byte, 0, size)
	}
	b := list[len(list)-1]
	m.free[class] = list[:len(list)-1]
	m.kept -= size
	return b
}

// put takes a buffer back.
func (m *memory) put(b []byte) {
	m.held -= cap(b)
	if cap(b) > largestPooled || m.kept+cap(b) > keptBytes {
		return
	}
	m.kept += cap(b)
	class := class(cap(b))
	m.free[class] = append(m.free[class], b[:0])
}

// class is the list for n bytes: 0 up to smallestBuffer, then one for each doubling.
func class(n int) int {
	if n <= smallestBuffer {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(smallestBuffer-1))
}
