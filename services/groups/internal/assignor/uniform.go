package assignor

import (
	"bytes"
	"slices"
)

// Uniform gives all members as equal a number of partitions as their
// subscriptions allow, and moves as few as possible from where they were. When
// all read the same, no member has two more than another; when they do not, no
// partition can go to a member that has two fewer.
func Uniform(s Spec) []Assignment {
	b := balance{spec: s, readers: s.readers(), owned: make([]Assignment, len(s.Members))}
	b.give(b.keep())
	for b.moveOne() {
	}
	for i := range b.owned {
		b.owned[i] = Of(b.owned[i]...)
	}
	return b.owned
}

// balance is an assignment on its way.
type balance struct {
	spec    Spec
	readers map[TopicID][]int
	owned   []Assignment // by member, in any order
}

// keep leaves with every member what it had and still may have. It returns the
// partitions that are left, topic by topic.
func (b *balance) keep() (left []Partition) {
	taken := make(map[Partition]bool)
	for i := range b.spec.Members {
		for _, p := range b.spec.Members[i].Before {
			if slices.Contains(b.readers[p.Topic], i) && p.Index < b.spec.Partitions[p.Topic] && !taken[p] {
				taken[p] = true
				b.owned[i] = append(b.owned[i], p)
			}
		}
	}
	for topic := range b.readers {
		for index := range b.spec.Partitions[topic] {
			if p := (Partition{topic, index}); !taken[p] {
				left = append(left, p)
			}
		}
	}
	slices.SortFunc(left, compare)
	return left
}

// give gives each partition to the reader that has the fewest. Topics with few
// readers come first: the others can still make up for it.
func (b *balance) give(left []Partition) {
	slices.SortStableFunc(left, func(x, y Partition) int {
		if d := len(b.readers[x.Topic]) - len(b.readers[y.Topic]); d != 0 {
			return d
		}
		return bytes.Compare(x.Topic[:], y.Topic[:])
	})
	for _, p := range left {
		to := b.least(p.Topic)
		b.owned[to] = append(b.owned[to], p)
	}
}

// least is the reader of a topic that has the fewest partitions.
func (b *balance) least(topic TopicID) int {
	readers := b.readers[topic]
	best := readers[0]
	for _, r := range readers[1:] {
		if len(b.owned[r]) < len(b.owned[best]) {
			best = r
		}
	}
	return best
}

// moveOne moves one partition to a member that has at least two fewer, from the
// member with the most that can; false when nobody can. Always from the fullest:
// otherwise one that is emptied first would be filled again by others.
func (b *balance) moveOne() bool {
	least := make(map[TopicID]int) // of topics looked at in this step
	stuck := make(map[int]bool)
	for {
		from := b.fullest(stuck)
		if from < 0 {
			return false
		}
		if at, to := b.movable(from, least); at >= 0 {
			b.owned[to] = append(b.owned[to], b.owned[from][at])
			b.owned[from] = slices.Delete(b.owned[from], at, at+1)
			return true
		}
		stuck[from] = true
	}
}

// fullest is the member with the most partitions, of those that are not stuck
// and have two more than somebody; -1 for none.
func (b *balance) fullest(stuck map[int]bool) int {
	best, fewest := -1, len(b.owned[0])
	for i := range b.owned {
		fewest = min(fewest, len(b.owned[i]))
		if !stuck[i] && (best < 0 || len(b.owned[i]) > len(b.owned[best])) {
			best = i
		}
	}
	if best < 0 || len(b.owned[best]) < fewest+2 {
		return -1
	}
	return best
}

// movable finds a partition of a member that another with two fewer can read.
func (b *balance) movable(from int, least map[TopicID]int) (at, to int) {
	for i := len(b.owned[from]) - 1; i >= 0; i-- {
		topic := b.owned[from][i].Topic
		to, known := least[topic]
		if !known {
			to = b.least(topic)
			least[topic] = to
		}
		if len(b.owned[from]) > len(b.owned[to])+1 {
			return i, to
		}
	}
	return -1, -1
}
