package coordinator

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/log"
	"kanal/services/groups/internal/group"
)

// topicAge is how old a commit must be before its topic's absence is believed:
// this instance may not have heard of a new topic yet.
const topicAge = 10 * time.Minute

// clean removes what nobody needs: offsets of topics that are gone, those that
// are past their retention, and empty groups without offsets, as Kafka does.
func (c *Coordinator) clean(now time.Time) {
	for id, e := range c.groups {
		if e.commits > 0 {
			continue // what is on its way would be deleted with the offset that it replaces
		}
		dead := c.deadOffsets(now, e)
		switch {
		case len(dead) > 0:
			c.forgetOffsets(e, dead, func(error) {}) // what fails is tried again next time
		case e.empty() && e.idle() && len(e.offsets) == 0 && len(c.pending.of(id)) == 0:
			c.deleteGroup(e, id, func(*kerr.Error) {}, func() {})
		}
	}
}

func (c *Coordinator) deadOffsets(now time.Time, e *entry) (dead []Partition) {
	read := make(map[string]bool) // topics that were asked for already
	for p, o := range e.offsets {
		if gone := !c.cfg.TopicLives(p.Topic, o.TopicID) && now.Sub(o.Committed) > topicAge; gone || c.expired(now, e, p, &o, read) {
			dead = append(dead, p)
		}
	}
	return dead
}

// expired tells whether an offset is past its retention, which begins with the
// commit or, in a group that had members, when the last one went (Kafka's
// OffsetExpirationCondition). Offsets of topics that a member reads stay.
func (c *Coordinator) expired(now time.Time, e *entry, p Partition, o *Offset, read map[string]bool) bool {
	since := o.Committed
	if e.EmptySince().After(since) {
		since = e.EmptySince()
	}
	if now.Sub(since) < c.cfg.OffsetsRetention {
		return false
	}
	if _, asked := read[p.Topic]; !asked {
		read[p.Topic] = e.keeps(p.Topic)
	}
	return !read[p.Topic]
}

// keeps tells whether offsets of a topic stay whatever their age. While a
// rebalance is going on nobody knows who will read what, and what members that
// are no consumers commit nobody understands.
func (e *entry) keeps(topic string) bool {
	if e.consumer != nil {
		return e.subscribedTo(topic)
	}
	switch e.State() {
	case group.Empty, group.Dead:
		return false
	case group.Stable:
		return e.ProtocolType() != "consumer" || e.subscribedTo(topic)
	}
	return true
}

// subscribedTo tells whether a member reads a topic.
func (e *entry) subscribedTo(topic string) bool {
	if e.consumer != nil {
		return e.consumer.Subscribed(topic)
	}
	return slices.ContainsFunc(e.Subscriptions(), func(metadata []byte) bool { return subscribes(metadata, topic) })
}

// subscribes tells whether a consumer with this metadata reads a topic. One
// whose metadata cannot be read may read anything.
func subscribes(metadata []byte, topic string) bool {
	var m kmsg.ConsumerMemberMetadata
	return m.ReadFrom(metadata) != nil || slices.Contains(m.Topics, topic)
}

// maxDeletions bounds the keys that one submission deletes.
const maxDeletions = 4000

// remove deletes keys, a bounded number with each commit, and calls done when
// all are gone or at the first error.
func (c *Coordinator) remove(keys []string, done func(error)) {
	n := min(len(keys), maxDeletions)
	changes := make([]log.Change, n)
	for i, key := range keys[:n] {
		changes[i].Key = key
	}
	c.submit(changes, func(err error) {
		if err != nil || n == len(keys) {
			done(err)
			return
		}
		c.remove(keys[n:], done)
	})
}

// forgetOffsets deletes offsets of a group.
func (c *Coordinator) forgetOffsets(e *entry, partitions []Partition, done func(error)) {
	keys := make([]string, len(partitions))
	for i, p := range partitions {
		keys[i] = offsetKey(e.ID(), p)
	}
	c.remove(keys, func(err error) {
		if err == nil && c.groups[e.ID()] == e {
			for _, p := range partitions {
				delete(e.offsets, p)
			}
		}
		done(err)
	})
}
