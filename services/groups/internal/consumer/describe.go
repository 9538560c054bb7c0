package consumer

import "kanal/services/groups/internal/assignor"

// Description is a group as ConsumerGroupDescribe shows it.
type Description struct {
	State              State
	Epoch, TargetEpoch int32
	Assignor           string
	Members            []DescribedMember // by id
}

// DescribedMember is a member as ConsumerGroupDescribe shows it.
type DescribedMember struct {
	ID, InstanceID, RackID string
	ClientID, ClientHost   string
	Epoch                  int32
	Topics                 []string
	Regex                  string
	Assigned, Target       assignor.Assignment
}

// Describe describes the group.
func (g *Group) Describe() Description {
	d := Description{State: g.State(), Epoch: g.epoch, TargetEpoch: g.targetEpoch, Assignor: g.preferred()}
	for _, m := range g.inOrder() {
		d.Members = append(d.Members, DescribedMember{
			ID: m.id, InstanceID: m.instance, RackID: m.rack, ClientID: m.clientID, ClientHost: m.clientHost,
			Epoch: m.epoch, Topics: m.topics, Regex: m.regex, Assigned: m.assigned, Target: m.target,
		})
	}
	return d
}
