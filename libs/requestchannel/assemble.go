package requestchannel

import (
	"sync"
	"time"
)

// maxOrigins bounds the cache of origins; beyond it the cache starts afresh.
const maxOrigins = 16384

// parse reads an envelope. Origins repeat with every request of a connection:
// they are made strings once.
func (s *Server) parse(b []byte, r *Request) error {
	header, err := envelopeHeader(b, requestFixed)
	if err != nil {
		return err
	}
	raw := b[requestFixed:header]
	origin, known := s.origins[string(raw)]
	if !known {
		if err := origin.parse(raw); err != nil {
			return err
		}
		if len(s.origins) >= maxOrigins {
			clear(s.origins)
		}
		s.origins[string(raw)] = origin
	}
	return parseRequest(b, header, origin, r)
}

// assemblies are requests of which parts have arrived.
type assemblies struct {
	mu sync.Mutex
	m  map[requestKey]*assembly
}

// add takes a part in; true when in now is the whole request.
func (as *assemblies) add(in *Incoming) (whole bool, err error) {
	as.mu.Lock()
	defer as.mu.Unlock()
	key := requestKey{in.FrontEnd, in.ID}
	a := as.m[key]
	if a == nil || in.Part == 0 {
		a = new(assembly)
		as.m[key] = a
	}
	a.grew = in.Received
	if whole, err = a.add(in.Part, in.Parts, in.Total, in.Frame); whole {
		in.Frame = a.frame
	}
	if whole || err != nil {
		delete(as.m, key)
	}
	return whole, err
}

func (as *assemblies) drop(key requestKey) {
	as.mu.Lock()
	defer as.mu.Unlock()
	delete(as.m, key)
}

// longestPart is how long the next part of a living front end's request may take.
const longestPart = time.Minute

// sweep lets go of requests that nothing more comes of: of front ends that are
// gone, and those whose rest was lost.
func (as *assemblies) sweep(now time.Time, living func(frontEnd string) bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for key, a := range as.m {
		if quiet := now.Sub(a.grew); quiet > longestPart || quiet > AnnouncementTimeout && !living(key.frontEnd) {
			delete(as.m, key)
		}
	}
}
