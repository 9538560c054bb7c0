package socketserver

// ParseProxyHeader is for the fuzz test.
var ParseProxyHeader = parseProxyHeader

// Counted is how many connections the quotas count.
func (s *Server) Counted() int {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	return s.quotas.total
}
