package coordinator

import (
	"time"

	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/group"
)

// entry is a group with what is stored of it. It is a classic group, and has no
// members as such if it is a consumer group.
type entry struct {
	*group.Group
	raw     []byte // the stored snapshot, as the log has it; nil for none
	offsets map[Partition]Offset
	alarm   time.Time // the group's place in alarms; zero for none
	commits int       // offset commits on their way

	submitted  uint64     // place of the newest snapshot handed to the log
	storing    int        // snapshots on their way
	superseded []*storing // those that a newer snapshot includes

	consumer *consumer.Group // of KIP-848; nil for a classic group
	writing  int             // its changes on their way
	broken   bool            // its memory is ahead of what can be stored
}

// Types of groups, as ListGroups shows them.
const (
	TypeClassic  = "classic"
	TypeConsumer = "consumer"
)

// idle tells whether the group's memory is worth nothing beyond what is stored.
func (e *entry) idle() bool {
	return e.Idle() && e.storing == 0 && (e.consumer == nil || e.consumer.Members() == 0 && e.writing == 0)
}

// empty tells whether the group has no members.
func (e *entry) empty() bool {
	return e.State() == group.Empty && (e.consumer == nil || e.consumer.Members() == 0)
}

// next is when the group wants to be looked at; zero for never.
func (e *entry) next() time.Time {
	if e.consumer != nil {
		return e.consumer.Next()
	}
	return e.Next()
}

// postpone moves the end of all sessions back.
func (e *entry) postpone(d time.Duration) {
	e.Postpone(d)
	if e.consumer != nil {
		e.consumer.Postpone(d)
	}
}

// keys are the keys of the group in the log, without those of members.
func (e *entry) keys() []string {
	keys := []string{groupKey(e.ID())}
	if e.consumer != nil {
		keys = append(keys, consumerKey(e.ID()))
	}
	for p := range e.offsets {
		keys = append(keys, offsetKey(e.ID(), p))
	}
	return keys
}

func (e *entry) listed() Listed {
	if e.consumer != nil {
		return Listed{ID: e.ID(), Protocol: "consumer", Type: TypeConsumer, State: string(e.consumer.State())}
	}
	return Listed{ID: e.ID(), Protocol: e.ProtocolType(), Type: TypeClassic, State: e.State().String()}
}
