package topics

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/cluster"
	"kanal/libs/log"
)

// What a NATS server answers when a stream cannot have that many replicas.
const (
	notClustered    jetstream.ErrorCode = 10074 // the server stands alone
	noSuitablePeers jetstream.ErrorCode = 10005 // fewer servers than replicas
)

// maxReplicas is the most that JetStream keeps of a stream.
const maxReplicas = 5

// createStreams makes the streams of all logs of a topic. On a NATS server that
// stands alone, a replication factor above 1 is what clients are shown and not
// what is stored; a NATS cluster with too few servers refuses instead, because
// there the missing one may only be away.
func (a *Admin) createStreams(ctx context.Context, t *cluster.Topic) error {
	t.StreamReplicas = min(t.StreamReplicas, maxReplicas)
	err := a.createStream(ctx, t, 0)
	if t.StreamReplicas > 1 && isCode(err, notClustered) {
		a.log.Warn("topic has one replica: the NATS server is not part of a cluster", "topic", t.Name, "asked", t.ReplicationFactor)
		t.StreamReplicas = 1
		err = a.createStream(ctx, t, 0)
	}
	if err == nil {
		rest := make([]int32, t.Logs-1)
		for i := range rest {
			rest[i] = int32(i) + 1
		}
		err = each(rest, func(index int32) error { return a.createStream(ctx, t, index) })
	}
	if isCode(err, noSuitablePeers) {
		return refuse(kerr.InvalidReplicationFactor, "The NATS cluster has not enough servers for %d replicas at this time.", t.StreamReplicas)
	}
	return Trouble(err)
}

func (a *Admin) createStream(ctx context.Context, t *cluster.Topic, index int32) error {
	name := t.StreamName(a.cfg.Cluster, index)
	return log.CreateStream(ctx, a.js, log.StreamConfig(a.cfg.Prefix, a.cfg.Cluster, name, t.StreamReplicas, map[string]string{
		"kanal.cluster":  a.cfg.Cluster,
		"kanal.topic":    t.Name,
		"kanal.topic.id": cluster.ID(t.ID).String(),
		"kanal.log":      strconv.Itoa(int(index)),
	}))
}

func isCode(err error, code jetstream.ErrorCode) bool {
	var e *jetstream.APIError
	return errors.As(err, &e) && e.ErrorCode == code
}
