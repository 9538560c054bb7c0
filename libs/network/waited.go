package network

import (
	"sync/atomic"
	"time"
)

// waited adds up how long a selector waited for events (io-wait-time, E16). One word tells it all, so that whoever asks
// sees a wait that is not over yet too: n >= 0, that much and working; n < 0, waiting, and by now that much plus now.
type waited struct{ n atomic.Int64 }

func (w *waited) begin(now int64) { w.n.Store(w.n.Load() - now - 1) }

func (w *waited) end(now int64) { w.n.Store(w.n.Load() + now + 1) }

func (w *waited) at(now int64) int64 {
	if n := w.n.Load(); n < 0 {
		return n + now + 1
	} else {
		return n
	}
}

// Waited is how long Poll has waited for events since the selector was made, the present wait included. Any goroutine
// may call it, and without Config.Now it is 0. The rest of the time its goroutine was at work, or had no processor.
func (s *Selector) Waited() time.Duration {
	if s.clock == nil {
		return 0
	}
	return time.Duration(s.waited.at(s.clock()))
}
