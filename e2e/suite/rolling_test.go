package suite

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

const rollPartitions = 6

// rollClients are clients of all kinds, with their retries as they are by
// default or off, that run while something is rolled.
type rollClients struct {
	on      target
	watch   witness
	load    *load // idempotent, as franz-go is by default
	strict  *load // not idempotent and without retries: any error of any attempt is one
	record  *groupRecord
	members []*groupReader
	askers  []*asker

	kcatTopic   string
	kcatLoad    *kcatLoad // nil where kcat is missing
	kcatReader  *kcatReader
	kcatMembers []*member
}

func startRollClients(t *testing.T, on target) *rollClients {
	c := &rollClients{on: on, record: newGroupRecord()}
	never := kgo.ConnIdleTimeout(15 * time.Minute)
	topic, strict, group := newTopic(t, on, rollPartitions), newTopic(t, on, rollPartitions), newName(t)
	c.load = loadWith(t, on, topic, "load", time.Millisecond, c.watch.options(), never)
	c.strict = loadWith(t, on, strict, "strict", time.Millisecond, c.watch.options(), never,
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1), kgo.RecordRetries(0), kgo.RequestRetries(0))
	for range 2 {
		c.members = append(c.members, joinGroup(t, on, c.record, group, topic, c.watch.options(), never))
	}
	waitAssigned(t, rollPartitions, c.members...)
	c.startAskers(t, topic)
	if _, err := exec.LookPath("kcat"); err == nil {
		c.startKcat(t)
	} else {
		process.Need(t, "kcat")
	}
	return c
}

func (c *rollClients) startAskers(t *testing.T, topic string) {
	alone := newName(t)
	n := int64(0)
	c.askers = []*asker{
		ask(t, c.on, &c.watch, "metadata", func(ctx context.Context, a *kadm.Client) error {
			m, err := a.Metadata(ctx, topic)
			if err == nil {
				err = m.Topics.Error()
			}
			return err
		}),
		ask(t, c.on, &c.watch, "end offsets", func(ctx context.Context, a *kadm.Client) error {
			o, err := a.ListEndOffsets(ctx, topic)
			if err == nil {
				err = o.Error()
			}
			return err
		}),
		ask(t, c.on, &c.watch, "commit and fetch", func(ctx context.Context, a *kadm.Client) error {
			n++
			return commitAndFetch(ctx, a, alone, topic, n)
		}),
	}
}

// commitAndFetch wants an offset that was committed to be there.
func commitAndFetch(ctx context.Context, a *kadm.Client, group, topic string, at int64) error {
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, At: at, LeaderEpoch: -1})
	if err := a.CommitAllOffsets(ctx, group, offsets); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	got, err := a.FetchOffsets(ctx, group)
	if err == nil {
		err = got.Error()
	}
	if o, ok := got.Lookup(topic, 0); err == nil && (!ok || o.At != at) {
		err = fmt.Errorf("%d was committed and %d is there", at, o.At)
	}
	return err
}

func (c *rollClients) startKcat(t *testing.T) {
	c.kcatTopic = newTopic(t, c.on, 4)
	c.kcatLoad = startKcatLoad(t, c.on, c.kcatTopic)
	c.kcatReader = startKcatReader(t, c.on, c.kcatTopic)
	group := newName(t)
	for range 2 {
		c.kcatMembers = append(c.kcatMembers, startMember(t, c.on, group, c.kcatTopic))
	}
	process.Poll(t, time.Minute, "both members have partitions", func() error {
		a, b := c.kcatMembers[0].assigned(), c.kcatMembers[1].assigned()
		if len(a) == 0 || len(b) == 0 || len(a)+len(b) != 4 {
			return fmt.Errorf("the first has %v and the second %v", a, b)
		}
		return nil
	})
}

// goOn waits until everybody has done something more.
func (c *rollClients) goOn(t *testing.T, why string) {
	t.Helper()
	defer func(begun time.Time) {
		t.Logf("all went on %s within %s", why, time.Since(begun).Round(time.Millisecond))
	}(time.Now())
	c.load.advance(t, 20, rollPartitions, why)
	c.strict.advance(t, 20, rollPartitions, why)
	before, _ := c.record.progress()
	process.Poll(t, time.Minute, "the group commits on in every partition "+why, func() error {
		now, err := c.record.progress()
		if err != nil {
			return process.Hopeless(err)
		}
		return advanced(before, now, 20, rollPartitions)
	})
}

// finish wants nobody to have seen anything, and nothing to be lost.
func (c *rollClients) finish(t *testing.T) {
	t.Helper()
	for _, a := range c.askers {
		a.finish(t)
		t.Logf("asked %d times", a.asked)
	}
	c.watch.stop()
	c.load.finish(t)
	c.strict.finish(t)
	c.watch.requireNothing(t)
	c.load.requireStored(t, c.on, c.load.topic, rollPartitions)
	c.strict.requireStored(t, c.on, c.strict.topic, rollPartitions)
	process.Poll(t, time.Minute, "the group has read everything", func() error {
		if _, err := c.record.progress(); err != nil {
			return process.Hopeless(err)
		}
		return c.record.missingValues(c.load.values)
	})
	t.Logf("%d records by franz-go, %d of them without retries", len(c.load.values)+len(c.strict.values), len(c.strict.values))
	for _, m := range c.members {
		m.leave() // while there is somebody to leave
	}
	if c.kcatLoad != nil {
		c.finishKcat(t)
	}
}

func (c *rollClients) finishKcat(t *testing.T) {
	n := c.kcatLoad.finish(t)
	requireNumbers(t, "kcat -C", n, c.kcatReader.stdout.String, c.kcatReader.stderr.String())
	process.Poll(t, time.Minute, "kcat's group has read everything", func() error {
		return missing(append(c.kcatMembers[0].lines(t), c.kcatMembers[1].lines(t)...), 0, n)
	})
	for _, m := range c.kcatMembers {
		requireQuiet(t, "kcat -G", m.stderr.String())
	}
	t.Logf("%d records by kcat", n)
}

// rolled is what is rolled, and in which order.
var rolled = []string{"metadata", "records", "groups"}

// TestRoll stops and replaces handlers under load: one after the other, then all
// of a service at once with nobody there for 3 s. No client sees an error, and
// none loses a connection.
func TestRoll(t *testing.T) {
	c := process.StartCluster(t)
	clients := startRollClients(t, target{c.Bootstrap, process.Brokers, c.FrontEnd})
	clients.goOn(t, "before")
	until := time.Now().Add(time.Duration(process.Rounds(0, 60)) * time.Second)
	for i := 0; i == 0 || time.Now().Before(until); i++ {
		for _, service := range rolled {
			replace(t, c, service, i%len(c.Instances[service]))
			clients.goOn(t, fmt.Sprintf("after an instance of %s was replaced", service))
		}
	}
	for _, services := range together() {
		c.Roll(t, 3*time.Second, services...)
		clients.goOn(t, fmt.Sprintf("after all of %v were away", services))
	}
	clients.finish(t)
}

// replace stops an instance in order, and starts another.
func replace(t *testing.T, c *process.Cluster, service string, i int) {
	t.Helper()
	begun, old := time.Now(), c.Instances[service][i]
	old.Stop(t)
	requireEmptyHands(t, old)
	stopped := time.Since(begun)
	c.Replace(t, service, i)
	t.Logf("%s stopped in %s and was replaced after %s", service, stopped.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
}

// together is what is stopped at once.
func together() [][]string {
	all := [][]string{rolled, {"metadata"}, {"records"}, {"groups"}, rolled}
	return all[:process.Rounds(1, len(all))]
}

// requireEmptyHands wants a process to have finished what it held.
func requireEmptyHands(t *testing.T, p *process.Process) {
	t.Helper()
	if strings.Contains(p.Log(), "requests in hand") {
		t.Errorf("%s stopped with requests in hand", p)
	}
}
