package requestchannel

import (
	"maps"
	"time"
)

// expire forgets who has not announced itself for AnnouncementTimeout.
func (v *View) expire() {
	defer close(v.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-v.stop:
			return
		case now := <-timer.C:
			if !v.nc.IsConnected() {
				v.extend(now)
			} else if v.forget(now.Add(-AnnouncementTimeout)) {
				v.changed()
			}
			timer.Reset(v.untilExpiry(now))
		}
	}
}

// untilExpiry is how long until the next could be forgotten: exactly, because
// its requests wait for that, and often enough for whoever comes meanwhile.
func (v *View) untilExpiry(now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := now.Add(AnnouncementTimeout / 8)
	for _, h := range v.handlers {
		next = earlier(next, h.heard.Add(AnnouncementTimeout))
	}
	for _, f := range v.frontEnds {
		next = earlier(next, f.heard.Add(AnnouncementTimeout))
	}
	return max(next.Sub(now), time.Millisecond)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
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
