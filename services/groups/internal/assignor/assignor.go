// Package assignor spreads partitions over the members of a consumer group:
// pure functions, the server side assignors of KIP-848. Its Kafka counterparts
// are RangeAssignor and UniformAssignor.
package assignor

import (
	"cmp"
	"slices"
)

// Member is a member as assignors see it.
type Member struct {
	ID, InstanceID string // InstanceID is empty for dynamic members
	// Topics that it reads, of those in Spec.Partitions.
	Topics []TopicID
	// Before is what it was assigned last.
	Before Assignment
}

// Spec is what is to be assigned to whom.
type Spec struct {
	Members    []Member
	Partitions map[TopicID]int32 // how many each topic has
}

// Assignor gives every partition of a topic that somebody reads to exactly one
// of its readers. The result has an assignment for each member, in their order.
// It depends on nothing but the spec.
type Assignor func(Spec) []Assignment

// Assignors by name.
var Assignors = map[string]Assignor{"uniform": Uniform, "range": Range}

// readers lists the readers of each topic, as indexes in the order of the
// members' names.
func (s *Spec) readers() map[TopicID][]int {
	order := make([]int, len(s.Members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareMembers(&s.Members[a], &s.Members[b]) })
	readers := make(map[TopicID][]int)
	for _, i := range order {
		for _, t := range s.Members[i].Topics {
			if s.Partitions[t] > 0 {
				readers[t] = append(readers[t], i)
			}
		}
	}
	return readers
}

// compareMembers has static members first, by their instance ids: those outlive
// a restart and so does the order.
func compareMembers(a, b *Member) int {
	if static := a.InstanceID != ""; static != (b.InstanceID != "") {
		if static {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.InstanceID, b.InstanceID), cmp.Compare(a.ID, b.ID))
}
