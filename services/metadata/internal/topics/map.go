package topics

import "sync"

// Map computes f of all items, a few at a time, in the order of the items.
func Map[T, R any](items []T, f func(T) R) []R {
	const width = 8
	out := make([]R, len(items))
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for i, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			out[i] = f(item)
			<-slots
		})
	}
	wg.Wait()
	return out
}
