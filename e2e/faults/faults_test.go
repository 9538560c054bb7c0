package faults

import (
	"syscall"
	"testing"
	"time"

	"kanal/e2e/process"
)

// scene is where a fault strikes: a cluster under load.
type scene struct {
	*cluster
	t        *testing.T // of the row
	nats     *process.NATS
	cut      *proxy // between NATS and handler cutOff
	cutOff   int
	detected times
}

// faults are the rows of the table. Every strike ends with everything in place
// again; the load goes on all the time.
var faults = []struct {
	name        string
	short, long int // cycles
	strike      func(*scene)
}{
	{"handler killed", 5, 150, (*scene).kill},
	{"handler stopped", 3, 60, (*scene).stop},
	{"handler cut off", 3, 50, (*scene).stall},
	{"handler disconnected", 3, 50, (*scene).disconnect},
	{"handler slow", 1, 5, (*scene).slow},
	{"handler answers twice", 1, 5, (*scene).twice},
	{"handler answers rubbish", 1, 5, (*scene).rubbish},
	{"NATS killed", 3, 60, (*scene).killNATS},
	{"NATS stopped", 2, 30, (*scene).stopNATS},
}

// TestFaults strikes a cluster under load, row by row, at random moments. No
// answer is lost, doubled or out of order, no connection closes, and nothing is
// left of it.
func TestFaults(t *testing.T) {
	nats := process.StartNATSProcess(t)
	c := startCluster(t, nats.URL, nil, "metadata")
	s := &scene{cluster: c, nats: nats, cut: startProxy(t, nats.Address())}
	c.add("echo", 2, nil)
	c.add("metadata", 2, nil)
	s.cutOff = len(c.handlers)
	c.add("echo", 1, process.Env{"KANAL_NATS_URL": s.cut.url()})
	c.ready()
	before := c.resources(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s.t, s.detected = t, nil
			l := c.load(t, 40)
			l.advance(t, 2, "before")
			for range process.Rounds(f.short, f.long) {
				c.pause(300 * time.Millisecond)
				f.strike(s)
				l.advance(t, 2, "afterwards")
			}
			l.finish(t)
			s.detected.log(t, "found out after")
			c.requireNothingLeft(t, before)
		})
		if t.Failed() {
			return
		}
	}
}

// victim is a handler that is not the one behind the proxy.
func (s *scene) victim() int { return s.random.IntN(s.cutOff) }

// kill ends a handler like a power cut. The probe, or the next request, finds
// nobody there.
func (s *scene) kill() {
	i := s.victim()
	at := time.Now()
	s.handlers[i].Kill(s.t)
	s.detected = append(s.detected, s.lost(s.t, at, "no_subscriber"))
	s.replace(i)
}

// stop stops a handler: for a moment that nobody takes for its end, or until it
// is lost and longer, so that it wakes up with requests that others have.
func (s *scene) stop() {
	h := s.handlers[s.victim()]
	at := time.Now()
	h.Signal(s.t, syscall.SIGSTOP)
	s.silence(at)
	h.Signal(s.t, syscall.SIGCONT)
}

// silence waits as stop says.
func (s *scene) silence(at time.Time) {
	if s.random.IntN(3) == 0 {
		s.pause(900 * time.Millisecond)
		return
	}
	s.detected = append(s.detected, s.lost(s.t, at, "silent"))
	s.pause(time.Second)
}

// stall cuts a handler off from NATS, and nobody is told.
func (s *scene) stall() {
	at := time.Now()
	s.cut.stall()
	s.silence(at)
	s.cut.heal()
}

// disconnect closes a handler's connections to NATS for a while.
func (s *scene) disconnect() {
	at := time.Now()
	s.cut.drop()
	s.detected = append(s.detected, s.lost(s.t, at, "no_subscriber"))
	s.pause(time.Second)
	s.cut.heal()
}

// killNATS kills the NATS server, and starts it again after a while: connections
// stay open, and requests wait.
func (s *scene) killNATS() {
	s.nats.Kill(s.t)
	s.pause(1500 * time.Millisecond)
	s.nats.Start(s.t)
}

// stopNATS stops the NATS server, for a moment or until everybody has given its
// connections up.
func (s *scene) stopNATS() {
	s.nats.Signal(s.t, syscall.SIGSTOP)
	s.pause(4 * time.Second)
	s.nats.Signal(s.t, syscall.SIGCONT)
}
