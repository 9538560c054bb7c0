package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kanal/e2e/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// cluster is a front end and handlers, each a process of its own.
type cluster struct {
	*testing.T // of the whole test; processes end with it
	frontEnd   *process.Process
	handlers   []*process.Process
	env        process.Env // of the handlers
	frames     string      // host:port of a listener whose frames go to echo
	kafka      string      // host:port for Kafka clients; empty: none
	random     *rand.Rand
	seed       uint64
}

// startCluster starts a front end that has NATS at url. Where services are
// given it speaks Kafka and needs them.
func startCluster(t *testing.T, url string, env process.Env, services ...string) *cluster {
	t.Helper()
	c := &cluster{T: t, frames: process.Address(t), env: process.Env{"KANAL_NATS_URL": url}, seed: process.Seed(t)}
	c.random = rand.New(rand.NewPCG(c.seed, 0))
	listeners := "FRAMES://" + c.frames
	if len(services) > 0 {
		c.kafka = process.Address(t)
		listeners += ",PLAINTEXT://" + c.kafka
	}
	c.frontEnd = process.Start(t, "frontend", c.env.With(process.Env{
		"KANAL_LISTENERS": listeners, "KANAL_LISTENER_FRAMES_KIND": "frames", "KANAL_LISTENER_FRAMES_HANDLER": "echo",
		"KANAL_REQUIRED_SERVICES": strings.Join(services, ","),
	}).With(env))
	return c
}

// add starts instances of a handler service.
func (c *cluster) add(service string, n int, env process.Env) {
	c.Helper()
	for range n {
		c.handlers = append(c.handlers, process.Start(c.T, service, c.env.With(env)))
	}
}

// ready waits until everybody is.
func (c *cluster) ready() {
	c.Helper()
	for _, h := range c.handlers {
		h.WaitReady(c)
	}
	c.frontEnd.WaitReady(c)
}

// replace starts a process in place of handler i, which has ended.
func (c *cluster) replace(i int) {
	c.Helper()
	p := process.Start(c.T, c.handlers[i].Name, c.env)
	p.WaitReady(c)
	c.handlers[i] = p
}

// load is the clients of the cluster.
func (c *cluster) load(t *testing.T, conns int) *load {
	t.Helper()
	l := startLoad(t, c.random.Uint64(), conns, c.frames, frames{})
	if c.kafka != "" {
		l.dial(t, c.random.Uint64(), conns/4, c.kafka, metadata{})
	}
	return l
}

// pause waits for a moment below limit: when a fault strikes is random.
func (c *cluster) pause(limit time.Duration) {
	time.Sleep(time.Duration(c.random.Int64N(int64(limit))))
}

// lost waits until the front end has lost a handler after a moment, and tells
// how long after.
func (c *cluster) lost(t *testing.T, after time.Time, reason string) (took time.Duration) {
	t.Helper()
	process.Poll(t, 30*time.Second, "the front end has lost a handler: "+reason, func() error {
		for _, at := range c.logged("lost a handler", "reason", reason) {
			if took = at.Sub(after); took > 0 {
				return nil
			}
		}
		return fmt.Errorf("it says of none since %s", after)
	})
	return took
}

// logged is when the front end said something.
func (c *cluster) logged(message, key, value string) (at []time.Time) {
	c.frontEnd.Logged(func(line map[string]any) {
		said, _ := line["time"].(string)
		if when, err := time.Parse(time.RFC3339Nano, said); err == nil && line["msg"] == message && line[key] == value {
			at = append(at, when)
		}
	})
	return at
}

// resources are what must not grow with faults.
type resources struct{ goroutines, descriptors, memory float64 }

func (c *cluster) resources(t *testing.T) resources {
	t.Helper()
	return resources{
		c.frontEnd.Metric(t, "go_goroutines"), float64(c.frontEnd.Descriptors(t)), c.frontEnd.Metric(t, "kanal_memory_used_bytes"),
	}
}

// slack is what comes and goes by itself: a scrape's connection, a timer's
// goroutine, a reconnect that is under way.
const slack = 12

// requireNothingLeft waits until the front end holds no connection and no
// request, and no more goroutines and descriptors than before the load; and no
// handler holds a request.
func (c *cluster) requireNothingLeft(t *testing.T, before resources) {
	t.Helper()
	process.Poll(t, time.Minute, "nothing is left of the load", func() error {
		for _, gauge := range []string{
			"kanal_connections", "kanal_requests_in_flight", "kanal_requests_queued", "kanal_requests_parked",
			"kanal_processor_response_queue", "kanal_processor_parked_receives", "kanal_memory_waiting",
		} {
			if n := c.frontEnd.Metric(t, gauge); n != 0 {
				return fmt.Errorf("%s of the front end is %v", gauge, n)
			}
		}
		now := c.resources(t)
		if now.memory > before.memory || now.goroutines > before.goroutines+slack || now.descriptors > before.descriptors+slack {
			return fmt.Errorf("the front end has %+v, and had %+v", now, before)
		}
		for _, h := range c.handlers {
			if n := h.Metric(t, "kanal_handler_requests_held"); n != 0 {
				return fmt.Errorf("%s holds %v requests", h, n)
			}
		}
		return nil
	})
}

// times are how long something took, over the cycles of a test.
type times []time.Duration

// log tells the middle and the longest.
func (ts times) log(t *testing.T, what string) {
	if len(ts) > 0 {
		slices.Sort(ts)
		line := fmt.Sprintf("%s: %d times, p50 %s, max %s", what, len(ts), round(ts[len(ts)/2]), round(ts[len(ts)-1]))
		t.Log(line)
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
