package network

import "testing"

// A buffer comes from the list that it goes back to, holds what was asked for, and wastes at most half (small) or an
// eighth (large).
func TestBufferClasses(t *testing.T) {
	m := newBuffers()
	for n := 1; n <= largestPooled+1000; n += 1 + n/97 {
		for _, n := range []int{n, min(n, largestSmall), max(n, largestSmall+1)} {
			b := m.get(n)
			if cap(b) < n || len(b) != 0 || cap(b) > max(smallestBuffer, 2*n) || n > largestSmall && cap(b) > n+n/8+8 {
				t.Fatalf("asked for %d, got %d of %d", n, len(b), cap(b))
			}
			if cap(b) <= largestSmall && smallClass(cap(b)) != smallClass(n) {
				t.Fatalf("a buffer of %d goes to class %d, %d comes from %d", cap(b), smallClass(cap(b)), n, smallClass(n))
			}
			if n > largestSmall && n <= largestPooled {
				if c := largeClass(cap(b)); c < 0 || c >= len(large) || cap(getLarge(cap(b))) != cap(b) {
					t.Fatalf("%d bytes are of class %d", cap(b), c)
				}
			}
			m.put(b[:cap(b)])
		}
	}
	if m.held != 0 || m.kept > keptBytes {
		t.Errorf("%d held, %d kept", m.held, m.kept)
	}
}
