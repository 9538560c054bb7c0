// Package suite holds Kanal to what real clients expect of it: kcat, franz-go
// and plain sockets against real processes. Most bodies take any target and run
// twice: against one standalone, and against every service as a process of its
// own with three brokers.
package suite

import (
	"context"
	"os"
	"testing"
	"time"

	"kanal/e2e/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// target is what a body runs against.
type target struct {
	bootstrap string
	brokers   int
	frontEnd  *process.Process // the process that has the clients' connections
}

// bodies are what any Kanal must do, however it is started.
var bodies = []struct {
	name string
	body func(*testing.T, target)
}{
	{"api versions", apiVersions},
	{"kcat lists", kcatLists},
	{"kcat codecs", kcatCodecs},
	{"kcat idempotent", kcatIdempotent},
	{"kcat large message", kcatLargeMessage},
	{"kcat many messages", kcatManyMessages},
	{"kcat group", kcatGroup},
	{"produce and consume", produceAndConsume},
	{"acks", acks},
	{"large batches", largeBatches},
	{"too large a batch", tooLarge},
	{"fetch from the middle", fetchFromTheMiddle},
	{"fetch waits", fetchWaits},
	{"offsets by timestamp", offsetsByTimestamp},
	{"group of two", groupOfTwo},
	{"commit and resume", commitAndResume},
	{"topics", topics},
	{"recreated topic", recreatedTopic},
	{"auto create", autoCreate},
	{"transactions", transactions},
	{"transactional fencing", transactionalFencing},
	{"transactional timeout", transactionalTimeout},
	{"exactly once", exactlyOnce},
	{"broker configs", brokerConfigs},
	{"bad input", badInput},
}

func runBodies(t *testing.T, on target) {
	for _, b := range bodies {
		t.Run(b.name, func(t *testing.T) { b.body(t, on) })
	}
}

// TestStandalone runs the bodies against one process.
func TestStandalone(t *testing.T) {
	s := process.StartStandalone(t, process.Env{"KANAL_GROUPS_CONSUMER_HEARTBEAT_INTERVAL": "500ms"})
	runBodies(t, target{s.Bootstrap, 1, s.Process})
	s.Stop(t)
}

// TestProcesses runs the bodies against separate processes, two instances of
// each handler.
func TestProcesses(t *testing.T) {
	c := process.StartCluster(t)
	on := target{c.Bootstrap, process.Brokers, c.FrontEnd}
	runBodies(t, on)
	t.Run("frames", func(t *testing.T) { frames(t, c) })
	t.Run("rolled handlers", func(t *testing.T) { rolledHandlers(t, on, c) })
	t.Run("lost instances", func(t *testing.T) { lostInstances(t, on, c) })
	c.FrontEnd.Stop(t)
	for _, instances := range c.Instances {
		for _, p := range instances {
			p.Stop(t)
		}
	}
}

// limited is the test's context with a limit.
func limited(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
