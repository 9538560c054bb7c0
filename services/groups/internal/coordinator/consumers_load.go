package coordinator

import (
	"time"

	"kanal/services/groups/internal/consumer"
)

// records are what the log has of consumer groups, by group.
type records struct {
	groups  map[string][]byte
	members map[string]map[string][]byte // by member id
}

func newRecords() *records {
	return &records{groups: make(map[string][]byte), members: make(map[string]map[string][]byte)}
}

// add takes what belongs to a consumer group; an error if it cannot be one's.
func (r *records) add(key string, value []byte) error {
	if key[0] == kindConsumer {
		r.groups[key[1:]] = value
		return nil
	}
	id, member, err := parseMemberKey(key)
	if err != nil {
		return err
	}
	if r.members[id] == nil {
		r.members[id] = make(map[string][]byte)
	}
	r.members[id][member] = value
	return nil
}

// loadConsumers makes the groups of their records. One that cannot be read
// starts empty: its members are told that they are not known, and join again.
func (c *Coordinator) loadConsumers(now time.Time, r *records) {
	for id, record := range r.groups {
		g, err := consumer.Load(now, id, record, r.members[id], c.cfg.Consumer)
		if err != nil {
			c.cfg.Log.Error("stored group was ignored", "group", id, "err", err)
			continue
		}
		c.ensure(id).consumer = g
	}
}

// loadConsumerAgain makes one group what the log says of it.
func (c *Coordinator) loadConsumerAgain(old *entry) {
	id, r := old.ID(), newRecords()
	delete(c.groups, id)
	fresh := c.ensure(id)
	fresh.offsets = old.offsets
	c.table.Range(func(key string, value []byte) bool {
		if key != "" && (key == consumerKey(id) || key[0] == kindMember) {
			_ = r.add(key, value) // was told of when the log was opened
		}
		return true
	})
	c.loadConsumers(c.cfg.Now(), r)
	if stored := c.table.Get(groupKey(id)); stored != nil {
		c.loadGroup(c.cfg.Now(), id, stored)
	}
	c.setAlarm(fresh)
}
