package group

// Description is a group as DescribeGroups shows it.
type Description struct {
	State          State
	Type, Protocol string
	Members        []DescribedMember
}

// DescribedMember is a member as DescribeGroups shows it: with metadata and
// assignment in a stable group only, as in Kafka.
type DescribedMember struct {
	ID, InstanceID       string
	ClientID, ClientHost string
	Metadata, Assignment []byte
}

// Describe describes the group.
func (g *Group) Describe() Description {
	d := Description{State: g.state, Type: g.protocolType}
	stable := g.state == Stable
	if stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.inOrder() {
		dm := DescribedMember{ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost}
		if stable {
			dm.Metadata, dm.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, dm)
	}
	return d
}

// Subscriptions are the members' metadata under the chosen protocol, for who
// can read them.
func (g *Group) Subscriptions() [][]byte {
	out := make([][]byte, 0, len(g.order))
	for _, m := range g.inOrder() {
		protocol := g.protocol
		if protocol == "" && len(m.protocols) > 0 {
			protocol = m.protocols[0].Name
		}
		out = append(out, m.metadata(protocol))
	}
	return out
}
