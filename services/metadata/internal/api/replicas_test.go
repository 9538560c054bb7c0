package api

import (
	"slices"
	"testing"
)

func TestReplicas(t *testing.T) {
	for _, c := range []struct {
		leader  int32
		factor  int16
		brokers int32
		want    []int32
	}{
		{1, 1, 1, []int32{1}}, {2, 3, 3, []int32{2, 3, 1}}, {3, 2, 3, []int32{3, 1}}, {2, 5, 3, []int32{2, 3, 1}},
	} {
		if got := replicas(c.leader, c.factor, c.brokers); !slices.Equal(got, c.want) {
			t.Errorf("leader %d, factor %d, %d brokers: %v, want %v", c.leader, c.factor, c.brokers, got, c.want)
		}
	}
}
