package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/cluster"
	"kanal/libs/handler"
)

// Addresses knows where brokers are, as clients of a listener see them; none when nobody can tell at this moment.
type Addresses interface {
	Now(listener string, brokers int32) []cluster.Broker
}

// leader is who leads a partition, and since which epoch (KIP-951).
type leader struct{ id, epoch int32 }

// leaderHint is what a client is told that has asked the wrong broker, or by an old epoch, so that it need not ask for metadata first.
func (a *API) leaderHint(p *place) (leader, bool) {
	if p.topic == nil || p.code != kerr.NotLeaderForPartition.Code && p.code != kerr.FencedLeaderEpoch.Code {
		return leader{}, false
	}
	return leader{a.topics.Leader(p.topic.Name, p.index()), a.topics.Info().LeaderEpoch}, true
}

// endpoints are the addresses of the leaders that an answer hints at.
func (a *API) endpoints(r *handler.Request, places []*place) []cluster.Broker {
	var ids []int32
	for _, p := range places {
		if l, ok := a.leaderHint(p); ok {
			ids = append(ids, l.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	all := slices.Clone(a.addresses.Now(r.Listener, a.topics.Info().Brokers))
	return slices.DeleteFunc(all, func(b cluster.Broker) bool { return !slices.Contains(ids, b.ID) })
}
