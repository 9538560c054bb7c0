package suite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kanal/e2e/process"
)

// frames talks to echo through the front end: any length-prefixed protocol,
// pipelined, from nothing up to frames that travel in parts.
func frames(t *testing.T, c *process.Cluster) {
	src := rand.NewChaCha8([32]byte{3})
	var sent [][]byte
	for _, n := range []int{0, 1, 4, 100, 4 << 10, 64 << 10, 512 << 10, 600 << 10, 5 << 20, 10, 0, 1 << 20, 3} {
		b := make([]byte, n)
		_, _ = src.Read(b) // never fails
		sent = append(sent, b)
	}
	w := dial(t, c.Frames)
	go func() {
		for _, b := range sent {
			w.send(frame(b))
		}
	}()
	for i, want := range sent {
		if got := w.read(); !bytes.Equal(got, want) {
			t.Fatalf("frame %d of %d bytes came back other than it was sent, with %d", i, len(want), len(got))
		}
	}
	w.send(size(-1))
	w.requireClosed()
}

// lostInstances kills and stops each instance of each handler under load. No
// client sees an error, and nothing that was acknowledged is lost.
func lostInstances(t *testing.T, on target, c *process.Cluster) {
	const partitions = 6
	topic, group, record := newTopic(t, on, partitions), newName(t), newGroupRecord()
	l := startLoad(t, on, topic, "load")
	first := joinGroup(t, on, record, group, topic)
	second := joinGroup(t, on, record, group, topic)
	waitAssigned(t, partitions, first, second)
	asking := newClient(t, on)
	goesOn := func(t *testing.T, what string) {
		t.Helper()
		l.advance(t, 50, partitions, what)
		before, _ := record.progress()
		process.Poll(t, time.Minute, "the group commits on in every partition "+what, func() error {
			now, err := record.progress()
			if err != nil {
				return process.Hopeless(err)
			}
			return advanced(before, now, 50, partitions)
		})
		if _, ok := described(t, asking)[topic]; !ok {
			t.Fatalf("the topic is not listed %s", what)
		}
	}
	for _, service := range []string{"metadata", "records", "groups"} {
		for i := range c.Instances[service] {
			t.Run(fmt.Sprintf("%s %d", service, i), func(t *testing.T) {
				goesOn(t, "before")
				c.Instances[service][i].Kill(t)
				goesOn(t, "after a kill")
				c.Replace(t, service, i)
				goesOn(t, "with a new instance")
				c.Instances[service][i].Stop(t)
				goesOn(t, "after an orderly end")
				c.Replace(t, service, i)
			})
		}
	}
	if t.Failed() {
		return
	}
	l.finish(t)
	l.requireStored(t, on, topic, partitions)
	process.Poll(t, 2*time.Minute, "the group has read everything", func() error {
		committed, err := record.progress()
		if err != nil {
			return process.Hopeless(err)
		}
		for p, n := range l.counts {
			if committed[p] != int64(n) {
				return fmt.Errorf("partition %d has %d records and is read up to %d", p, n, committed[p])
			}
		}
		return record.missingValues(l.values)
	})
}
