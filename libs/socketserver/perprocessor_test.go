package socketserver

import "testing"

// A map is the model: processors come and go in any order.
func TestPerProcessor(t *testing.T) {
	var m PerProcessor[string]
	if m.Of(0) != nil {
		t.Error("something of nobody")
	}
	model := map[int]*string{}
	for step, id := range []int{3, 0, 3, 7, 0, 5, 3, 9, 7, 0} {
		if model[id] == nil {
			model[id] = new(string)
		} else {
			delete(model, id)
		}
		m.Set(id, model[id])
		for p := range 12 {
			if m.Of(p) != model[p] {
				t.Fatalf("step %d: processor %d has %p, want %p", step, p, m.Of(p), model[p])
			}
		}
	}
}
