package suite

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// TestUpgrade rolls a cluster with data from this release to a later one and back,
// one process after the other, under load. The later one writes envelopes and
// announcements of a higher version with more fields, and more fields into what
// is stored (libs/future). Handlers go first and then front ends (docs/rolling.md), so that in between there is every
// mixture. Nothing is lost.
func TestUpgrade(t *testing.T) {
	const partitions = 6
	c := process.StartCluster(t)
	on := target{c.Bootstrap, process.Brokers, c.FrontEnd}
	topic, group, record := newTopic(t, on, partitions), newName(t), newGroupRecord()
	l := loadWith(t, on, topic, "load", time.Millisecond)
	members := []*groupReader{joinGroup(t, on, record, group, topic), joinGroup(t, on, record, group, topic)}
	waitAssigned(t, partitions, members...)
	adm := kadm.NewClient(newClient(t, on))
	topics := []string{topic}
	step := func(what string) {
		t.Helper()
		l.advance(t, 20, partitions, what)
		// What one release has stored, the other reads and writes.
		topics = append(topics, newTopic(t, on, 2))
		for _, name := range topics {
			set := []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr(fmt.Sprint(len(topics) * 100000))}}
			if _, err := adm.AlterTopicConfigs(limited(t, 30*time.Second), set, name); err != nil {
				t.Fatalf("alter %s %s: %v", name, what, err)
			}
		}
		before, _ := record.progress()
		process.Poll(t, time.Minute, "the group commits on in every partition "+what, func() error {
			now, err := record.progress()
			if err != nil {
				return process.Hopeless(err)
			}
			return advanced(before, now, 20, partitions)
		})
	}
	step("before")
	for round := range process.Rounds(1, 4) {
		for _, future := range []bool{true, false} {
			c.UseFuture(future)
			for _, service := range rolled {
				for i := range c.Instances[service] {
					replace(t, c, service, i)
				}
				step(fmt.Sprintf("with %s of a later release: %t, round %d", service, future, round))
			}
			c.TakeOver(t)
			on.frontEnd = c.FrontEnd
			step(fmt.Sprintf("with the front end of a later release: %t, round %d", future, round))
		}
	}
	l.finish(t)
	l.requireStored(t, on, topic, partitions)
	process.Poll(t, time.Minute, "the group has read everything", func() error {
		if _, err := record.progress(); err != nil {
			return process.Hopeless(err)
		}
		return record.missingValues(l.values)
	})
	for _, m := range members {
		m.leave() // while there is somebody to leave
	}
	if n := len(described(t, newClient(t, on, kgo.MetadataMinAge(time.Second)), topics...)); n != len(topics) {
		t.Errorf("%d of %d topics are listed", n, len(topics))
	}
}
