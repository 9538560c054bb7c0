package batch

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// noTimestamp is that of a record without one.
const noTimestamp = -1

// checkTimes holds the records' timestamps against the topic's limits. Of compressed records the header knows two: the first one's and
// the largest.
func (b Batch) checkTimes(r Rules, now int64) *Refusal {
	if b.LogAppendTime() {
		return refuse(kerr.InvalidTimestamp, "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime.")
	}
	if r.LogAppendTime {
		return nil
	}
	if b.Codec() == 0 {
		return b.checkEachTime(r, now)
	}
	if r.allows(b.BaseTimestamp(), now) && r.allows(b.MaxTimestamp(), now) {
		return nil
	}
	refusal := refuse(kerr.InvalidTimestamp, "One or more records have been rejected due to invalid timestamp: from %d to %d. %s", b.BaseTimestamp(), b.MaxTimestamp(), r.within(now))
	if !r.allows(b.BaseTimestamp(), now) {
		refusal.Records = []RecordError{r.timeError(0, b.BaseTimestamp(), now)}
	}
	return refusal
}

// checkEachTime looks at every record; that they are well formed is known.
func (b Batch) checkEachTime(r Rules, now int64) *Refusal {
	var wrong []RecordError
	err := b.each(func(f Found) bool {
		if !r.allows(f.Timestamp, now) {
			wrong = append(wrong, r.timeError(int32(f.Offset-b.BaseOffset()), f.Timestamp, now))
		}
		return true
	})
	if err != nil {
		return refuse(kerr.InvalidRecord, "%v", err)
	}
	if len(wrong) == 0 {
		return nil
	}
	refusal := refuse(kerr.InvalidTimestamp, "One or more records have been rejected due to invalid timestamp")
	refusal.Records = wrong
	return refusal
}

// allows holds one timestamp against the limits.
func (r *Rules) allows(t, now int64) bool {
	return t == noTimestamp || now-t <= r.BeforeMax && t-now <= r.AfterMax
}

// within are the limits in words.
func (r *Rules) within(now int64) string {
	return fmt.Sprintf("The timestamp should be within [%d, %d]", max(0, now-r.BeforeMax), now+min(r.AfterMax, 1<<62))
}

func (r *Rules) timeError(index int32, t, now int64) RecordError {
	return RecordError{index, fmt.Sprintf("Timestamp %d of message with offset %d is out of range. %s", t, index, r.within(now))}
}
