package process

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Handlers are the services that a cluster has two instances of.
var Handlers = []string{"metadata", "records", "groups", "echo"}

// Cluster is every service as a process of its own, three brokers, and NATS.
type Cluster struct {
	Bootstrap string // host:port for Kafka clients
	Frames    string // host:port of a listener whose frames go to echo
	NATSURL   string
	FrontEnd  *Process
	Instances map[string][]*Process // by service

	env      Env
	frontEnv Env
	build    string // of what is started next
	owner    testing.TB
}

// Brokers is how many brokers a Cluster has.
const Brokers = 3

// StartCluster starts NATS in this process and everything else in its own.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	return StartClusterWith(t, nil)
}

// StartClusterWith adds to the front end's environment.
func StartClusterWith(t testing.TB, frontEnd Env) *Cluster {
	t.Helper()
	nats := StartNATS(t)
	port, frames := Ports(t, 1+Brokers), Ports(t, 1)
	c := &Cluster{
		Bootstrap: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Frames:    net.JoinHostPort("127.0.0.1", strconv.Itoa(frames)),
		NATSURL:   nats.ClientURL(),
		Instances: map[string][]*Process{},
		env:       Env{"KANAL_NATS_URL": nats.ClientURL(), "KANAL_BROKERS": strconv.Itoa(Brokers), "KANAL_GROUPS_CONSUMER_HEARTBEAT_INTERVAL": "500ms"},
		owner:     t,
	}
	c.frontEnv = c.env.With(Env{
		"KANAL_TAKEOVER_SOCKET":         socketPath(t),
		"KANAL_LISTENERS":               fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,FRAMES://127.0.0.1:%d", port, frames),
		"KANAL_LISTENER_FRAMES_KIND":    "frames",
		"KANAL_LISTENER_FRAMES_HANDLER": "echo",
	}).With(frontEnd)
	c.FrontEnd = Start(t, "frontend", c.frontEnv)
	for _, name := range Handlers {
		c.Instances[name] = []*Process{Start(t, name, c.env), Start(t, name, c.env)}
	}
	for _, name := range Handlers {
		for _, p := range c.Instances[name] {
			p.WaitReady(t)
		}
	}
	c.FrontEnd.WaitReady(t)
	dial(t, c.FrontEnd, c.Bootstrap)
	dial(t, c.FrontEnd, c.Frames)
	return c
}

// Replace starts an instance in place of one that has ended. It lives as long
// as the cluster, whichever subtest asked for it.
func (c *Cluster) Replace(t testing.TB, service string, i int) {
	t.Helper()
	p := start(t, c.owner, c.build+service, c.env)
	p.WaitReady(t)
	c.Instances[service][i] = p
}

// socketPath is a path that is short enough for a unix socket.
func socketPath(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "kanal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // among temporary files anyway
	return filepath.Join(folder, "takeover")
}

// UseFuture has everything that is started from now on be of a later release,
// or of this one again.
func (c *Cluster) UseFuture(future bool) {
	if c.build = ""; future {
		c.build = Future
	}
}

// StartFrontEnd starts another front end beside the one that runs, which it tries
// to take over from.
func (c *Cluster) StartFrontEnd(t testing.TB, env Env) *Process {
	t.Helper()
	return start(t, c.owner, c.build+"frontend", c.frontEnv.With(env))
}

// TakeOver starts a front end that takes over from the one that runs, which
// ends in order.
func (c *Cluster) TakeOver(t testing.TB) {
	t.Helper()
	p := start(t, c.owner, c.build+"frontend", c.frontEnv)
	p.WaitReady(t)
	c.FrontEnd.requireStopped(t, "a takeover")
	c.FrontEnd = p
}

// Roll stops all instances of these services at once, in order, and starts others
// in their place, a gap after they were told to stop at the earliest.
func (c *Cluster) Roll(t testing.TB, gap time.Duration, services ...string) {
	t.Helper()
	begun := time.Now()
	for _, service := range services {
		for _, p := range c.Instances[service] {
			p.Signal(t, syscall.SIGTERM)
		}
	}
	for _, service := range services {
		for _, p := range c.Instances[service] {
			p.requireStopped(t, syscall.SIGTERM.String())
		}
	}
	time.Sleep(time.Until(begun.Add(gap))) // in which nobody is there is what the test asks for
	for _, service := range services {
		for i := range c.Instances[service] {
			c.Instances[service][i] = start(t, c.owner, c.build+service, c.env)
		}
	}
	for _, service := range services {
		for _, p := range c.Instances[service] {
			p.WaitReady(t)
		}
	}
}

// StartNATS runs a NATS server in this process as Kanal ships it: with
// JetStream, syncing before it acknowledges.
func StartNATS(t testing.TB) *server.Server {
	t.Helper()
	return RunNATS(t, natsOptions(Ports(t, 1), t.TempDir()))
}

// RunNATS runs a NATS server in this process until the test ends.
func RunNATS(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server was not ready within 30 s")
	}
	return s
}
