package requestchannel

import "strconv"

// Subjects names the NATS subjects of one cluster. Prefix and Cluster must be
// legal subject tokens: no dots, spaces or wildcards.
type Subjects struct {
	Prefix  string
	Cluster string
}

func (s Subjects) base() string { return s.Prefix + "." + s.Cluster + "." }

// Request is where a handler instance takes its requests.
func (s Subjects) Request(handler string) string { return s.base() + "request." + handler }

// Response is where a processor of a front end takes its answers.
func (s Subjects) Response(frontend string, processor int) string {
	return s.base() + "response." + frontend + "." + strconv.Itoa(processor)
}

// LargeResponse is where a front end takes large answers, in parts, on its
// second connection, so that they do not stand before small ones.
func (s Subjects) LargeResponse(frontend string) string {
	return s.base() + "response." + frontend + ".large"
}

// Handlers is where handler instances announce themselves.
func (s Subjects) Handlers() string { return s.base() + "handlers" }

// Admin is what administrators ask a front end or a handler instance on, with a
// verb behind it (package admin).
func (s Subjects) Admin(instance string) string { return s.base() + "admin." + instance }

// FrontEnds is where front ends announce themselves.
func (s Subjects) FrontEnds() string { return s.base() + "frontends" }
