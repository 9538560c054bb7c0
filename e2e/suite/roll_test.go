package suite

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// identity is what a rebalance would change of a member.
type identity struct {
	id         string
	generation int32
	changes    int // of its assignment
}

func identities(members []*groupReader) (out []identity) {
	for _, m := range members {
		id, generation := m.cl.GroupMetadata()
		m.mu.Lock()
		out = append(out, identity{id, generation, m.changes})
		m.mu.Unlock()
	}
	return out
}

// rolledHandlers kills, replaces, stops and replaces every instance of every
// handler. The members of a classic group and of one of KIP-848 go on reading
// and committing, and notice nothing: ids, generations and assignments stay.
func rolledHandlers(t *testing.T, on target, c *process.Cluster) {
	const partitions = 6
	topic := newTopic(t, on, partitions)
	var members []*groupReader
	var records []*groupRecord
	for _, opts := range [][]kgo.Opt{
		{kgo.Balancers(kgo.CooperativeStickyBalancer())},
		{kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()},
	} {
		record, group := newGroupRecord(), newName(t)
		pair := []*groupReader{joinGroup(t, on, record, group, topic, opts...), joinGroup(t, on, record, group, topic, opts...)}
		waitAssigned(t, partitions, pair...)
		members, records = append(members, pair...), append(records, record)
	}
	produced := 0
	goesOn := func(t *testing.T, what string) {
		t.Helper()
		produceNumbers(t, on, topic, produced, produced+120)
		produced += 120
		for i, record := range records {
			process.Poll(t, time.Minute, fmt.Sprintf("group %d has committed everything %s", i, what), func() error {
				committed, err := record.progress()
				if err != nil {
					return process.Hopeless(err)
				}
				return advanced(nil, committed, int64(produced/partitions), partitions)
			})
		}
	}
	goesOn(t, "before")
	process.Poll(t, time.Minute, "nothing changes any more", func() error {
		before := identities(members)
		goesOn(t, "at rest")
		if now := identities(members); fmt.Sprint(before) != fmt.Sprint(now) {
			return fmt.Errorf("%v became %v", before, now)
		}
		return nil
	})
	before := identities(members)
	for _, service := range []string{"metadata", "records", "groups"} {
		for i := range c.Instances[service] {
			t.Run(fmt.Sprintf("%s %d", service, i), func(t *testing.T) {
				c.Instances[service][i].Kill(t)
				goesOn(t, "after a kill")
				c.Replace(t, service, i)
				goesOn(t, "with a new instance")
				c.Instances[service][i].Stop(t)
				goesOn(t, "after an orderly end")
				c.Replace(t, service, i)
				goesOn(t, "with another new instance")
				if now := identities(members); fmt.Sprint(before) != fmt.Sprint(now) {
					t.Errorf("members noticed: %v became %v", before, now)
				}
			})
		}
	}
}
