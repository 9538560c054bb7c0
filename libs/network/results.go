package network

// results is a list that is filled on one side while the owner works through what it took: working through results can
// close channels, which makes results.
type results[T any] struct{ filling, taken []T }

func (r *results[T]) add(v T) { r.filling = append(r.filling, v) }

// take gives what was added since the last take; it is valid until the next.
func (r *results[T]) take() []T {
	clear(r.taken)
	r.filling, r.taken = r.taken[:0], r.filling
	return r.taken
}
