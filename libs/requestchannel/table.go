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
	cfg *ChannelConfig
	mu  sync.Mutex
	m   map[string]*Route // those for clients; guarded by mu
}

func (rs *routes) get(service string) *Route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.m[service]
	if r == nil {
		r = rs.make(service)
		rs.m[service] = r
	}
	return r
}

// make makes both routes of a service.
func (rs *routes) make(name string) *Route {
	s := &service{name: name}
	room := func() waiting {
		return waiting{most: int64(rs.cfg.QueuedMaxRequests), mostBytes: rs.cfg.QueuedMaxBytes}
	}
	r := &Route{service: s, budget: rs.cfg.Budget, waiting: room(), queues: map[queueKey]*fifo{}}
	r.twin = &Route{service: s, privileged: true, twin: r, budget: rs.cfg.PrivilegedBudget, waiting: room(), queues: map[queueKey]*fifo{}}
	return r
}

func (rs *routes) all() []*Route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var all []*Route
	for _, r := range rs.m {
		all = append(all, r.twin, r)
	}
	return all
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
