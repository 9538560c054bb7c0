package topiclog

import (
	"math"
	"sort"
)

const (
	indexBytes    = 256 << 10 // of a partition between two entries, at first
	indexLogBytes = 4 << 20   // of the whole log between two entries of a partition that grows slowly, at first
	indexMost     = 512       // entries of a partition
)

// index is a sparse map from a partition's offsets to the stream's sequences. It never has more than indexMost entries: when it is
// full every second one goes and the distance doubles, so that checkpoints and memory stay bounded however long the log gets.
type index struct {
	entries  []indexEntry
	doubled  uint8  // how often the distance was doubled
	bytes    uint64 // of the partition since the last entry
	logBytes uint64 // of the log when the last entry was made
}

// indexEntry says that the batch at offset base is in the message at sequence, and that everything before has timestamps up to before.
type indexEntry struct {
	base     int64
	sequence uint64
	before   int64
}

// add considers a new batch for an entry; logBytes is the size of the log so far.
func (x *index) add(base int64, sequence uint64, before int64, length int, logBytes uint64) {
	due := len(x.entries) == 0 || x.bytes >= indexBytes<<x.doubled || logBytes-x.logBytes >= indexLogBytes<<x.doubled
	x.bytes += uint64(length)
	if !due {
		return
	}
	if len(x.entries) == indexMost {
		for i := range indexMost / 2 {
			x.entries[i] = x.entries[2*i]
		}
		x.entries = x.entries[:indexMost/2]
		x.doubled++
	}
	x.entries = append(x.entries, indexEntry{base, sequence, before})
	x.bytes, x.logBytes = uint64(length), logBytes
}

// offset is the last entry at or before an offset; false before the first.
func (x *index) offset(offset int64) (indexEntry, bool) {
	i := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].base > offset })
	if i == 0 {
		return indexEntry{}, false
	}
	return x.entries[i-1], true
}

// time is the last entry before which no record has a timestamp of millis or later.
func (x *index) time(millis int64) (indexEntry, bool) {
	i := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].before >= millis })
	if i == 0 {
		return indexEntry{}, false
	}
	return x.entries[i-1], true
}

// noTime is below every timestamp.
const noTime = math.MinInt64
