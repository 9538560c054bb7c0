package requestchannel

import "hash/fnv"

// Holder is the instance of a service that holds a broker: the ready one with
// the highest rendezvous weight, so that everyone with the same view agrees
// and an instance that leaves moves only what it held.
func (v *View) Holder(service string, broker int32) (instance string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var best uint64
	for id, h := range v.handlers {
		if h.Service != service || !h.ready() {
			continue
		}
		if w := Weight(id, broker); !ok || w > best || w == best && id > instance {
			instance, best, ok = id, w, true
		}
	}
	return instance, ok
}

// Weight is the rendezvous weight of a candidate for a broker.
func Weight(candidate string, broker int32) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(candidate)) // a hash never fails
	_, _ = h.Write([]byte{0, byte(broker >> 24), byte(broker >> 16), byte(broker >> 8), byte(broker)})
	// FNV alone spreads short, similar inputs badly in its upper bits.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
