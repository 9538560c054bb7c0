package process

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
)

// Standalone is one process with everything in it.
type Standalone struct {
	*Process
	Bootstrap string // host:port for clients
	DataDir   string

	env   Env
	files []*os.File
	owner testing.TB
}

// StartStandalone starts a standalone on free ports and a folder of its own,
// and waits until it is ready.
func StartStandalone(t testing.TB, env Env) *Standalone {
	t.Helper()
	s := NewStandalone(t, env)
	s.Start(t)
	return s
}

// NewStandalone is a standalone that has not been started.
func NewStandalone(t testing.TB, env Env) *Standalone {
	t.Helper()
	port := Ports(t, 1)
	s := &Standalone{owner: t, DataDir: t.TempDir(), Bootstrap: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	s.env = Env{
		"KANAL_DATA_DIR":    s.DataDir,
		"KANAL_LISTENERS":   fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port),
		"KANAL_NATS_LISTEN": Address(t),
		"KANAL_HTTP_ADDR":   Address(t),
	}.With(env)
	return s
}

// Start starts it, again if it has been stopped or killed: on the same folder
// and ports.
func (s *Standalone) Start(t testing.TB) {
	t.Helper()
	if s.files == nil {
		s.Process = start(t, s.owner, "standalone", s.env)
	} else {
		s.Process = startActivated(t, s.owner, "standalone", s.env, s.files)
	}
	s.WaitReady(t)
	dial(t, s.Process, s.Bootstrap)
}

// Activate has it get listening sockets from outside with each start, as systemd
// passes them.
func (s *Standalone) Activate(files ...*os.File) { s.files = files }

// Env is the environment that it is started with.
func (s *Standalone) Env() Env { return s.env }
