package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/services/metadata/internal/topics"
)

// Page after page, whatever the limit, is every partition of every topic once and in order, and no page has more than the limit.
func TestPages(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		counts := map[string]int32{}
		var names, want []string
		for i := range random.IntN(8) {
			name := fmt.Sprint("topic ", i)
			names, counts[name] = append(names, name), random.Int32N(6) // 0: there is none
			want = append(want, name)
			for p := range counts[name] {
				want = append(want, fmt.Sprint(name, " ", p))
			}
		}
		limit := 1 + random.Int32N(7)
		var got []string
		var cursor *kmsg.DescribeTopicPartitionsRequestCursor
		for pages := 0; ; pages++ {
			spans, next := paginate(names, func(name string) int32 { return counts[name] }, cursor, limit)
			n := int32(0)
			for _, s := range spans {
				if s.from == 0 {
					got = append(got, s.topic)
				}
				for p := s.from; p < s.end; p++ {
					got = append(got, fmt.Sprint(s.topic, " ", p))
				}
				n += s.end - s.from
			}
			if n > limit || pages > len(want) {
				t.Fatalf("seed %d: page %d has %d partitions, limit %d", seed, pages, n, limit)
			}
			if next == nil {
				break
			}
			cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: next.Topic, Partition: next.Partition}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, limit %d: %v, want %v", seed, limit, got, want)
		}
	}
}

func TestReassignments(t *testing.T) {
	now := []int32{2, 3}
	for _, c := range []struct {
		replicas []int32
		want     *kerr.Error
	}{{nil, kerr.NoReassignmentInProgress}, {[]int32{2, 3}, nil}, {[]int32{3, 2}, kerr.InvalidReplicaAssignment}, {[]int32{2}, kerr.InvalidReplicaAssignment}, {[]int32{}, kerr.InvalidReplicaAssignment}} {
		code, message := topics.Code(checkReassignment("t", &kmsg.AlterPartitionAssignmentsRequestTopicPartition{Replicas: c.replicas}, now))
		if kerr.TypedErrorForCode(code) != c.want || (message == nil) != (c.want == nil) {
			t.Errorf("%v: code %d", c.replicas, code)
		}
	}
}

func TestNoSuchPartition(t *testing.T) {
	topic := &cluster.Topic{Name: "t", Partitions: 2}
	for number, want := range map[int32]bool{-1: true, 0: false, 1: false, 2: true} {
		if got := noSuchPartition(topic, "t", number) != nil; got != want {
			t.Errorf("partition %d: %v", number, got)
		}
	}
	if noSuchPartition(nil, "t", 0) == nil {
		t.Error("a topic that does not exist has partitions")
	}
}
