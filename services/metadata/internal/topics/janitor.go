package topics

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/log"
)

// Janitor is when orphaned streams are looked for.
type Janitor struct {
	// Interval between rounds; each instance adds up to half of it.
	Interval time.Duration
	// Age that a stream must have before it can be an orphan. It is much longer
	// than the longest creation, so that one under way is never in danger.
	Age time.Duration
}

// Clean removes streams whose topics have no entry, round after round until ctx
// ends: left by a creation or a deletion that did not finish.
func (a *Admin) Clean(ctx context.Context, j Janitor) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(j.Interval + rand.N(j.Interval/2+1)):
		}
		if err := a.cleanOnce(ctx, j.Age); err != nil && ctx.Err() == nil {
			a.log.Warn("janitor's round ended early", "err", err)
		}
	}
}

// cleanOnce lists the streams first and the entries after: a stream that is old
// in the list has had its entry written, if ever, long before entries are read.
func (a *Admin) cleanOnce(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	candidates, err := a.oldStreams(ctx, age)
	if err != nil || len(candidates) == 0 {
		return err
	}
	known, err := a.reg.TopicIDs(ctx)
	if err != nil {
		return err
	}
	for stream, id := range candidates {
		if known[id] {
			continue
		}
		if err := log.DeleteStream(ctx, a.js, stream); err != nil {
			return err
		}
		a.Counters.Orphans.Add(1)
		a.log.Info("stream without a topic was removed", "stream", stream)
	}
	return nil
}

// oldStreams lists the streams of topics that are older than age, with their
// topics' ids. Ages are by the clocks of this machine and the NATS server.
func (a *Admin) oldStreams(ctx context.Context, age time.Duration) (map[string][16]byte, error) {
	out := make(map[string][16]byte)
	list := a.js.ListStreams(ctx)
	for info := range list.Info() {
		id, ok := cluster.TopicOfStream(a.cfg.Cluster, info.Config.Name)
		if ok && time.Since(info.Created) > age {
			out[info.Config.Name] = id
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return out, nil
}
