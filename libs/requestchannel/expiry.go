package requestchannel

import (
	"maps"
	"time"
)

// expire forgets who has not announced itself for AnnouncementTimeout.
func (v *View) expire() {
	defer close(v.done)
	tick := time.NewTicker(AnnouncementTimeout / 8)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case now := <-tick.C:
			if !v.nc.IsConnected() {
				v.extend(now)
			} else if v.forget(now.Add(-AnnouncementTimeout)) {
				v.changed()
			}
		}
	}
}

func (v *View) forget(before time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.handlers) + len(v.frontEnds)
	maps.DeleteFunc(v.handlers, func(_ string, h *liveHandler) bool {
		return h.heard.Before(before)
	})
	maps.DeleteFunc(v.frontEnds, func(_ string, f *liveFrontEnd) bool { return f.heard.Before(before) })
	return n != len(v.handlers)+len(v.frontEnds)
}

// extend keeps everybody alive while NATS is away: nobody is forgotten for
// announcements that cannot arrive.
func (v *View) extend(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.handlers {
		h.heard = now
	}
	for _, f := range v.frontEnds {
		f.heard = now
	}
}
