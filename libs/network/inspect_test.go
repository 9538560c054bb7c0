package network

import (
	"slices"
	"testing"
)

// Slices of any size and any stops visit each open channel once; the model is the list of slots.
func TestScanVisitsEachOnce(t *testing.T) {
	s := &Selector{}
	var want []*Channel
	for i := range 23 {
		var c *Channel
		if i%3 != 1 {
			c = new(Channel)
			want = append(want, c)
		}
		s.slots = append(s.slots, c)
	}
	for most := 1; most < 30; most++ {
		for every := 1; every < 5; every++ {
			var got []*Channel
			from, scans := 0, 0
			for more := true; more; more = from > 0 {
				if scans++; scans > 100 {
					t.Fatalf("no end with %d slots, stopped after %d", most, every)
				}
				seen := 0
				from = s.Scan(from, most, func(c *Channel) bool {
					got = append(got, c)
					seen++
					return seen < every
				})
				if seen > min(most, every) {
					t.Fatalf("%d visited, of at most %d slots, stopped after %d", seen, most, every)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d slots, stopped after %d: visited %d of %d", most, every, len(got), len(want))
			}
		}
	}
	if next := new(Selector).Scan(7, 5, nil); next != 0 {
		t.Errorf("goes on at %d where nothing is", next)
	}
}
