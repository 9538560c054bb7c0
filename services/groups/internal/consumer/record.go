package consumer

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kanal/services/groups/internal/assignor"
)

// Changes are what a step has changed: what is to be stored.
type Changes struct {
	Group   bool
	Members map[string]bool // by id; those that are gone have no record any more
}

func (c *Changes) member(id string) {
	if c.Members == nil {
		c.Members = make(map[string]bool)
	}
	c.Members[id] = true
}

// Take returns and clears what has changed since the last time.
func (g *Group) Take() Changes {
	c := g.dirty
	g.dirty = Changes{}
	return c
}

// GroupRecord is what is stored of a group (Kafka's ConsumerGroupMetadataValue
// and ConsumerGroupTargetAssignmentMetadataValue).
type GroupRecord struct {
	Version     int    `json:"version"`
	Epoch       int32  `json:"epoch"`
	TargetEpoch int32  `json:"targetEpoch"`
	Assignor    string `json:"assignor"`
	TopicsHash  uint64 `json:"topicsHash,string"`
}

// MemberRecord is what is stored of a member: subscription, target and what it
// has (in Kafka three records). Timeouts are in milliseconds.
type MemberRecord struct {
	Version    int      `json:"version"`
	InstanceID string   `json:"instanceId,omitempty"`
	RackID     string   `json:"rackId,omitempty"`
	ClientID   string   `json:"clientId,omitempty"`
	ClientHost string   `json:"clientHost,omitempty"`
	Rebalance  int64    `json:"rebalanceTimeoutMs"`
	Topics     []string `json:"topics,omitempty"`
	Regex      string   `json:"regex,omitempty"`
	Assignor   string   `json:"assignor,omitempty"`
	Epoch      int32    `json:"epoch"`
	Previous   int32    `json:"previousEpoch"`
	State      uint8    `json:"state,omitempty"`
	Assigned   stored   `json:"assigned,omitempty"`
	Revoking   stored   `json:"revoking,omitempty"`
	Target     stored   `json:"target,omitempty"`
}

// stored is an assignment in a record.
type stored []storedTopic

type storedTopic struct {
	Topic      []byte  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

func store(a assignor.Assignment) (out stored) {
	a.Topics(func(id assignor.TopicID, partitions []int32) { out = append(out, storedTopic{id[:], partitions}) })
	return out
}

func (s stored) assignment() (assignor.Assignment, error) {
	var out []assignor.Partition
	for _, t := range s {
		if len(t.Topic) != len(assignor.TopicID{}) {
			return nil, fmt.Errorf("%w: topic id of %d bytes", ErrInvalidRecord, len(t.Topic))
		}
		for _, p := range t.Partitions {
			out = append(out, assignor.Partition{Topic: assignor.TopicID(t.Topic), Index: p})
		}
	}
	return assignor.Of(out...), nil
}

const recordVersion = 1

// ErrInvalidRecord is wrapped by what is wrong with a stored group.
var ErrInvalidRecord = errors.New("consumer: invalid record")

// Record gives the stored form of the group itself.
func (g *Group) Record() ([]byte, error) {
	return json.Marshal(GroupRecord{recordVersion, g.epoch, g.targetEpoch, g.assignor, g.topicsHash})
}

// MemberRecord gives the stored form of a member; nil if there is none.
func (g *Group) MemberRecord(id string) ([]byte, error) {
	m := g.members[id]
	if m == nil {
		return nil, nil
	}
	return json.Marshal(MemberRecord{
		Version: recordVersion, InstanceID: m.instance, RackID: m.rack, ClientID: m.clientID, ClientHost: m.clientHost,
		Rebalance: m.rebalance.Milliseconds(), Topics: m.topics, Regex: m.regex, Assignor: m.assignor,
		Epoch: m.epoch, Previous: m.previous, State: uint8(m.state),
		Assigned: store(m.assigned), Revoking: store(m.revoking), Target: store(m.target),
	})
}

// Load makes a group of its records. Everybody's time starts anew: nobody can
// know what heartbeats another holder got.
func Load(now time.Time, id string, record []byte, members map[string][]byte, settings Settings) (*Group, error) {
	var r GroupRecord
	if err := decode(record, &r, &r.Version); err != nil {
		return nil, err
	}
	g := New(id, settings)
	g.epoch, g.targetEpoch, g.assignor, g.topicsHash = r.Epoch, r.TargetEpoch, r.Assignor, r.TopicsHash
	for memberID, value := range members {
		if err := g.loadMember(now, memberID, value); err != nil {
			return nil, fmt.Errorf("member %q: %w", memberID, err)
		}
	}
	return g, nil
}

func decode(value []byte, into any, version *int) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidRecord, err)
	}
	if *version != recordVersion {
		return fmt.Errorf("%w: version %d, this build reads %d", ErrInvalidRecord, *version, recordVersion)
	}
	return nil
}

func (g *Group) loadMember(now time.Time, id string, value []byte) error {
	var r MemberRecord
	if err := decode(value, &r, &r.Version); err != nil {
		return err
	}
	const longest = int64(1 << 40) // a generation of people, in milliseconds
	if id == "" || r.Rebalance < 0 || r.Rebalance > longest || memberState(r.State) > memberWaiting {
		return fmt.Errorf("%w: id %q, timeout %d, state %d", ErrInvalidRecord, id, r.Rebalance, r.State)
	}
	m := &member{
		id: id, instance: r.InstanceID, rack: r.RackID, clientID: r.ClientID, clientHost: r.ClientHost,
		rebalance: time.Duration(r.Rebalance) * time.Millisecond, topics: sorted(r.Topics), regex: r.Regex, assignor: r.Assignor,
		epoch: r.Epoch, previous: r.Previous, state: memberState(r.State), deadline: now.Add(g.settings.Session),
	}
	var all [3]assignor.Assignment
	for i, s := range []stored{r.Assigned, r.Revoking, r.Target} {
		var err error
		if all[i], err = s.assignment(); err != nil {
			return err
		}
	}
	for _, p := range all[0].Plus(all[1]) {
		if other := g.owners[p]; other != "" {
			return fmt.Errorf("%w: partition %v is with %q too", ErrInvalidRecord, p, other)
		}
	}
	g.own(m, all[0], all[1])
	m.target = all[2]
	if m.state == memberRevoking {
		m.revokeBy = now.Add(m.rebalance)
	}
	if g.members[id] = m; m.instance != "" {
		if g.static[m.instance] != "" {
			return fmt.Errorf("%w: instance %q is there twice", ErrInvalidRecord, m.instance)
		}
		g.static[m.instance] = id
	}
	return nil
}
