package topiclog

import (
	"slices"
	"sort"
)

const (
	indexBytes    = 256 << 10      // of a partition between two entries, at first
	indexLogBytes = 4 << 20        // of the whole log between two entries of a partition that grows slowly, at first
	indexMillis   = 60 * 60 * 1000 // of stored time, at first
	indexMost     = 512            // entries of a partition
)

// index is a sparse map from a partition's offsets to the stream's sequences, and what retention decides by: the batches from one entry
// to the next are what Kafka's segments are, they go together. It never has more than indexMost entries: when it is full every second
// one goes and the distance doubles, so that checkpoints and memory stay bounded however long the log gets.
type index struct {
	entries  []indexEntry
	doubled  uint8  // how often the distance was doubled
	logBytes uint64 // of the log when the last entry was made
	millis   int64  // when that was, by the stream's clock
}

// indexEntry says that the batch at offset base is in the message at sequence, and what the batches from it to the next entry have.
type indexEntry struct {
	base     int64
	sequence uint64
	before   uint64 // bytes of the partition's batches that ever came before
	latest   int64  // largest timestamp
	stored   int64  // when the stream stored the last of them, in milliseconds
}

// age is the time by which retention judges: as in Kafka that of the storage where records have none.
func (e *indexEntry) age() int64 {
	if e.latest < 0 {
		return e.stored
	}
	return e.latest
}

// add takes in a batch: e with what it is, logBytes the size of the log so far.
func (x *index) add(e indexEntry, logBytes uint64) {
	if n := len(x.entries); n > 0 && !x.due(&e, logBytes) {
		last := &x.entries[n-1]
		last.latest, last.stored = max(last.latest, e.latest), e.stored
		return
	}
	if len(x.entries) == indexMost {
		x.thin()
	}
	x.entries = append(x.entries, e)
	x.logBytes, x.millis = logBytes, e.stored
}

// due tells whether a batch begins a new entry.
func (x *index) due(e *indexEntry, logBytes uint64) bool {
	last := &x.entries[len(x.entries)-1]
	return e.before-last.before >= indexBytes<<x.doubled || logBytes-x.logBytes >= indexLogBytes<<x.doubled || e.stored-x.millis >= indexMillis<<x.doubled
}

// thin joins entries two by two.
func (x *index) thin() {
	for i := range indexMost / 2 {
		e, gone := x.entries[2*i], x.entries[2*i+1]
		e.latest, e.stored = max(e.latest, gone.latest), gone.stored
		x.entries[i] = e
	}
	x.entries = x.entries[:indexMost/2]
	x.doubled++
}

// advance forgets the entries of which everything lies below start; next is the partition's end.
func (x *index) advance(start, next int64) {
	n := 0
	for n < len(x.entries) && x.end(n, next) <= start {
		n++
	}
	if n == 0 {
		return
	}
	x.entries = slices.Clone(x.entries[n:])
	if len(x.entries) < indexMost/8 && x.doubled > 0 {
		x.doubled--
	}
}

// end is the offset behind an entry's batches.
func (x *index) end(i int, next int64) int64 {
	if i+1 < len(x.entries) {
		return x.entries[i+1].base
	}
	return next
}

// offset is the last entry at or before an offset; false before the first.
func (x *index) offset(offset int64) (indexEntry, bool) {
	i := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].base > offset })
	if i == 0 {
		return indexEntry{}, false
	}
	return x.entries[i-1], true
}

// time is the first entry that may have a record with a timestamp of millis or later.
func (x *index) time(millis int64) (indexEntry, bool) {
	i := slices.IndexFunc(x.entries, func(e indexEntry) bool { return e.latest >= millis })
	if i < 0 {
		return indexEntry{}, false
	}
	return x.entries[i], true
}

// expired counts the oldest entries that are older than cutoff, up to the first that is not.
func (x *index) expired(cutoff int64) int {
	n := 0
	for n < len(x.entries) && x.entries[n].age() < cutoff {
		n++
	}
	return n
}

// surplus counts the oldest entries without which the partition is still of at least most bytes; bytes is all that ever came.
func (x *index) surplus(bytes, most uint64) int {
	n := 0
	for n < len(x.entries) {
		end := bytes
		if n+1 < len(x.entries) {
			end = x.entries[n+1].before
		}
		if bytes-end < most {
			break
		}
		n++
	}
	return n
}
