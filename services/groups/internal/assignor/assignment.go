package assignor

import (
	"bytes"
	"cmp"
	"slices"
)

// TopicID is a topic's id: a topic that is made again is another one.
type TopicID = [16]byte

// Partition is one partition of a topic.
type Partition struct {
	Topic TopicID
	Index int32
}

func compare(a, b Partition) int {
	if c := bytes.Compare(a.Topic[:], b.Topic[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Index, b.Index)
}

// Assignment is a set of partitions, in order, each once. It is never changed
// in place.
type Assignment []Partition

// Of makes an assignment of partitions in any order.
func Of(partitions ...Partition) Assignment {
	a := slices.Clone(partitions)
	slices.SortFunc(a, compare)
	return slices.Compact(a)
}

// Has tells whether a partition is in it.
func (a Assignment) Has(p Partition) bool {
	_, ok := slices.BinarySearchFunc(a, p, compare)
	return ok
}

// And gives what is in both.
func (a Assignment) And(b Assignment) (out Assignment) {
	for _, p := range a {
		if b.Has(p) {
			out = append(out, p)
		}
	}
	return out
}

// Minus gives what is in a and not in b.
func (a Assignment) Minus(b Assignment) (out Assignment) {
	for _, p := range a {
		if !b.Has(p) {
			out = append(out, p)
		}
	}
	return out
}

// Plus gives what is in either.
func (a Assignment) Plus(b Assignment) Assignment { return Of(append(slices.Clone(a), b...)...) }

// Equal tells whether both have the same partitions.
func (a Assignment) Equal(b Assignment) bool { return slices.Equal(a, b) }

// Topics calls f for each topic with its partitions, in order.
func (a Assignment) Topics(f func(id TopicID, partitions []int32)) {
	for len(a) > 0 {
		id := a[0].Topic
		var partitions []int32
		for len(a) > 0 && a[0].Topic == id {
			partitions = append(partitions, a[0].Index)
			a = a[1:]
		}
		f(id, partitions)
	}
}
