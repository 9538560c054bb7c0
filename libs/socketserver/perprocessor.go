package socketserver

import (
	"slices"
	"sync"
	"sync/atomic"
)

// PerProcessor is what a request channel keeps for each processor. Loops read it without a lock; the zero value is empty.
type PerProcessor[T any] struct {
	mu sync.Mutex           // held while a processor comes or goes
	by atomic.Pointer[[]*T] // by processor, nil where there is none; replaced as a whole
}

// Of is a processor's, nil when it is gone.
func (m *PerProcessor[T]) Of(processor int) *T {
	by := m.by.Load()
	if by == nil || processor >= len(*by) {
		return nil
	}
	return (*by)[processor]
}

// Set gives a processor its own, nil when it goes.
func (m *PerProcessor[T]) Set(processor int, to *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var by []*T
	if known := m.by.Load(); known != nil {
		by = slices.Clone(*known)
	}
	if more := processor + 1 - len(by); more > 0 {
		by = append(by, make([]*T, more)...)
	}
	by[processor] = to
	m.by.Store(&by)
}
