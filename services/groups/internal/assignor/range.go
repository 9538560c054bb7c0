package assignor

// Range gives every reader of a topic neighbouring partitions, the first ones
// one more where they cannot be divided. Topics with the same readers and
// numbers of partitions are divided alike, so that equal keys meet.
func Range(s Spec) []Assignment {
	out := make([]Assignment, len(s.Members))
	for topic, readers := range s.readers() {
		n, k, next := s.Partitions[topic], int32(len(readers)), int32(0)
		for i, member := range readers {
			share := n / k
			if int32(i) < n%k {
				share++
			}
			for range share {
				out[member] = append(out[member], Partition{topic, next})
				next++
			}
		}
	}
	for i := range out {
		out[i] = Of(out[i]...)
	}
	return out
}
