package faults

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kanal/e2e/process"
)

// TestNATSReplaced has a server that knows nothing take the place of one that
// was killed: the request channel keeps nothing in NATS.
func TestNATSReplaced(t *testing.T) {
	nats := process.StartNATSProcess(t)
	c := startCluster(t, nats.URL, nil)
	c.add("echo", 2, nil)
	c.ready()
	before := c.resources(t)
	l := c.load(t, 40)
	l.advance(t, 2, "before")
	for range process.Rounds(2, 20) {
		c.pause(300 * time.Millisecond)
		nats.Kill(t)
		c.pause(time.Second)
		nats.Replace(t)
		l.advance(t, 2, "with another server")
	}
	l.finish(t)
	c.requireNothingLeft(t, before)
}

// TestNATSClusterLosesANode kills nodes of a cluster of three: that which the
// front end is connected to, or another.
func TestNATSClusterLosesANode(t *testing.T) {
	nodes := process.StartNATSCluster(t, 3)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.URL)
	}
	c := startCluster(t, strings.Join(urls, ","), process.Env{"KANAL_NATS_URL": urls[0]})
	c.add("echo", 3, nil)
	c.ready()
	before := c.resources(t)
	l := c.load(t, 40)
	l.advance(t, 2, "before")
	own := 0
	for range process.Rounds(4, 40) {
		c.pause(300 * time.Millisecond)
		connected := c.connectedTo(urls[0])
		victim := nodes[c.random.IntN(len(nodes))]
		if c.random.IntN(2) == 0 {
			victim = nodes[indexOf(urls, connected)]
		}
		if victim.URL == connected {
			own++
		}
		victim.Kill(t)
		l.advance(t, 2, "without "+victim.URL)
		victim.Start(t)
		l.advance(t, 2, "with all nodes")
	}
	l.finish(t)
	t.Logf("the front end's own node was killed %d times", own)
	c.requireNothingLeft(t, before)
}

// connectedTo is where the front end says that it reconnected to, else first.
func (c *cluster) connectedTo(first string) string {
	c.frontEnd.Logged(func(line map[string]any) {
		if url, ok := line["url"].(string); ok && line["msg"] == "reconnected to NATS" && line["connection"] == "kanal-frontend" {
			first = url
		}
	})
	return first
}

func indexOf(urls []string, url string) int {
	for i, u := range urls {
		if u == url {
			return i
		}
	}
	return 0
}

// TestFrontEndCutOff parts the front end from NATS: its connections are closed,
// or nothing is forwarded any more and nobody is told.
func TestFrontEndCutOff(t *testing.T) {
	nats := process.StartNATSProcess(t)
	cut := startProxy(t, nats.Address())
	c := startCluster(t, nats.URL, process.Env{"KANAL_NATS_URL": cut.url()})
	c.add("echo", 2, nil)
	c.ready()
	before := c.resources(t)
	l := c.load(t, 40)
	l.advance(t, 2, "before")
	for range process.Rounds(2, 40) {
		c.pause(300 * time.Millisecond)
		if c.random.IntN(2) == 0 {
			cut.stall()
			c.pause(4 * time.Second)
		} else {
			cut.drop()
			c.pause(2 * time.Second)
		}
		cut.heal()
		l.advance(t, 2, "after the cut")
	}
	l.finish(t)
	c.requireNothingLeft(t, before)
}

// TestDeadlineWhileNATSIsAway: requests wait until their deadline and no longer.
func TestDeadlineWhileNATSIsAway(t *testing.T) {
	const deadline = 2 * time.Second
	nats := process.StartNATSProcess(t)
	c := startCluster(t, nats.URL, process.Env{"KANAL_REQUEST_TIMEOUT": deadline.String()})
	c.add("echo", 1, nil)
	c.ready()
	before := c.resources(t)
	l := c.load(t, 4)
	l.advance(t, 2, "before")
	l.finish(t)
	conn, err := net.DialTimeout("tcp", c.frames, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	nats.Kill(t)
	begun := time.Now()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, 5), "hello"...)); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(begun.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("no close: %v", err)
	}
	if waited := time.Since(begun); waited < deadline {
		t.Errorf("the connection was closed after %s, before the deadline", waited)
	}
	if n := c.frontEnd.Metric(t, "kanal_connections_closed_total", "reason", "deadline"); n != 1 {
		t.Errorf("%v connections were closed for their deadline", n)
	}
	nats.Start(t)
	c.requireNothingLeft(t, before)
}
