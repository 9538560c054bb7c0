package requestchannel

import (
	"maps"
	"slices"
	"sync"

	"kanal/libs/protocol"
)

// table is what Submit and ApiVersions read: a snapshot, replaced as a whole.
type table struct {
	routes   *routes
	byKey    []*Route
	versions protocol.Ranges
}

// routes are all routes by service; they are made once and stay.
type routes struct {
	mu sync.Mutex
	m  map[string]*Route
}

func (rs *routes) get(service string) *Route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.m[service]
	if r == nil {
		r = &Route{service: service, queues: map[queueKey]*fifo{}}
		rs.m[service] = r
	}
	return r
}

func (rs *routes) all() []*Route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Collect(maps.Values(rs.m))
}

// newTable routes every api that a service is known to answer. Where two
// services answer the same, the first by name has it.
func newTable(rs *routes, known map[string]protocol.Ranges) *table {
	release := protocol.Release()
	t := &table{routes: rs, byKey: make([]*Route, 128), versions: protocol.Ranges{}}
	for _, service := range slices.Sorted(maps.Keys(known)) {
		for key, v := range known[service].Intersect(release) {
			if t.byKey[key] == nil {
				t.byKey[key], t.versions[key] = rs.get(service), v
			}
		}
	}
	return t
}
