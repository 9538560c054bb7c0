package requestchannel

import "time"

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

// assemble adds a part; true when in now is the whole request.
func (s *Server) assemble(in *Incoming) bool {
	key := requestKey{in.FrontEnd, in.ID}
	a := s.assemblies[key]
	if a == nil || in.Part == 0 {
		s.sweepAssemblies(in.Received)
		a = &assembly{since: in.Received}
		s.assemblies[key] = a
	}
	done, err := a.add(in.Part, in.Parts, in.Total, in.Frame)
	if err != nil {
		delete(s.assemblies, key)
		s.log.Warn("dropped a request in parts", "frontend", in.FrontEnd, "err", err)
		return false
	}
	if done {
		delete(s.assemblies, key)
		in.Frame = a.frame
	}
	return done
}

// sweepAssemblies lets go of requests whose front end sends nothing more.
func (s *Server) sweepAssemblies(now time.Time) {
	for key, a := range s.assemblies {
		if now.Sub(a.since) > time.Minute {
			delete(s.assemblies, key)
		}
	}
}
