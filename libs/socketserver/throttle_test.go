package socketserver

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Row Q6: the heap against a sorted list.
func TestThrottlesComeSoonestFirst(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h throttles
		var model []int64
		for now := int64(0); now < 100; now++ {
			for range chance.IntN(4) {
				due := now + int64(chance.IntN(20))
				h.push(throttle{due, uint64(due)})
				model = append(model, due)
			}
			slices.Sort(model)
			for {
				got, over := h.pop(now)
				if want := len(model) > 0 && model[0] <= now; over != want || over && (got.due != model[0] || got.token != uint64(got.due)) {
					t.Fatalf("at %d: %v %v, the model has %v", now, got, over, model)
				}
				if !over {
					break
				}
				model = model[1:]
			}
		}
	}
}
