package socketserver

import "time"

// Rate bounds how often something may happen. With no more than PerSecond nothing waits; after a quiet time as many as
// Burst may come at once. Kafka's windows have a hidden burst of ten times the rate instead (D12).
type Rate struct {
	PerSecond float64 // 0 or less: unlimited
	Burst     int     // a second's worth, at least 1, if 0
}

func (r Rate) burst() float64 {
	if r.Burst > 0 {
		return float64(r.Burst)
	}
	return max(r.PerSecond, 1)
}

// bucket is a token bucket, kept as what was taken out of it: its zero value is full, whatever its rate.
type bucket struct {
	taken float64
	at    int64 // when that was so
}

// delay is how long it takes until the next may come, 0 if it may now.
func (b *bucket) delay(r Rate, now int64) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	b.refill(r, now)
	missing := b.taken + 1 - r.burst()
	if missing <= 1e-9 { // or rounding would ask for a wait of nothing
		return 0
	}
	return time.Duration(missing/r.PerSecond*float64(time.Second)) + 1
}

func (b *bucket) refill(r Rate, now int64) {
	if now > b.at {
		back := time.Duration(now-b.at).Seconds() * r.PerSecond
		b.taken, b.at = max(b.taken-back, 0), now
	}
	b.taken = min(b.taken, r.burst()) // a burst that was made smaller is no debt
}

func (b *bucket) take(r Rate) {
	if r.PerSecond > 0 {
		b.taken++
	}
}

// isFull tells that nothing would be lost by forgetting the bucket.
func (b *bucket) isFull(r Rate, now int64) bool {
	b.refill(r, now)
	return r.PerSecond <= 0 || b.taken == 0
}
