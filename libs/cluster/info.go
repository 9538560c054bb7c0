package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/future"
)

// Info is what a cluster is.
type Info struct {
	// ClusterID is 22 characters of base64url, as in Kafka.
	ClusterID string
	// Brokers is K: broker ids are 1 to K.
	Brokers int32
	// CoordinationLogs is G, fixed when the cluster was created.
	CoordinationLogs int32
	// LeaderEpoch is the leader epoch of every partition. Leadership moves only
	// with the number of brokers, so the epoch counts the changes of that.
	LeaderEpoch int32
}

const infoVersion = 1

type infoEntry struct {
	Version          int   `json:"version"`
	ClusterID        ID    `json:"clusterId"`
	Brokers          int32 `json:"brokers"`
	CoordinationLogs int32 `json:"coordinationLogs"`
	LeaderEpoch      int32 `json:"leaderEpoch"`
	future.Fields
}

func (e infoEntry) info() Info {
	return Info{ClusterID: e.ClusterID.String(), Brokers: e.Brokers, CoordinationLogs: e.CoordinationLogs, LeaderEpoch: e.LeaderEpoch}
}

func decodeInfo(value []byte) (infoEntry, error) {
	var e infoEntry
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, clusterKey, err)
	}
	switch {
	case e.Version != infoVersion:
		return e, fmt.Errorf("%w: %s: version %d, this build reads %d", ErrInvalidEntry, clusterKey, e.Version, infoVersion)
	case e.ClusterID.IsZero():
		return e, fmt.Errorf("%w: %s: no cluster id", ErrInvalidEntry, clusterKey)
	case e.Brokers < 1 || e.Brokers > MaxBrokers || e.CoordinationLogs < 1 || e.LeaderEpoch < 0:
		return e, fmt.Errorf("%w: %s: %d brokers, %d coordination logs, leader epoch %d", ErrInvalidEntry, clusterKey, e.Brokers, e.CoordinationLogs, e.LeaderEpoch)
	}
	return e, nil
}

// ensureInfo creates the cluster's entry or brings its number of brokers to
// what this process was started with: the last one started wins. Each round is
// one conditional write; losing it means that somebody else was faster, and
// the next round sees what he wrote.
func (r *Registry) ensureInfo(ctx context.Context) error {
	for {
		entry, err := r.kv.Get(ctx, clusterKey)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			err = r.createInfo(ctx)
		case err != nil:
			return fmt.Errorf("read cluster entry: %w", err)
		default:
			err = r.updateBrokers(ctx, entry)
		}
		if !isConflict(err) {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (r *Registry) createInfo(ctx context.Context) error {
	e := infoEntry{
		Version: infoVersion, ClusterID: NewID(),
		Brokers: max(r.cfg.Brokers, 1), CoordinationLogs: r.cfg.CoordinationLogs,
	}
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err = r.kv.Create(ctx, clusterKey, value); err != nil {
		return fmt.Errorf("create cluster entry: %w", err)
	}
	r.log.Info("cluster was created", "cluster", r.cfg.Cluster, "id", e.ClusterID.String(), "brokers", e.Brokers)
	return nil
}

func (r *Registry) updateBrokers(ctx context.Context, entry jetstream.KeyValueEntry) error {
	e, err := decodeInfo(entry.Value())
	if err != nil || r.cfg.Brokers == 0 || r.cfg.Brokers == e.Brokers {
		return err
	}
	before := e.Brokers
	e.Brokers = r.cfg.Brokers
	e.LeaderEpoch++
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err = r.kv.Update(ctx, clusterKey, value, entry.Revision()); err != nil {
		return fmt.Errorf("update cluster entry: %w", err)
	}
	r.log.Info("number of brokers was changed by this process's setting", "cluster", r.cfg.Cluster, "before", before, "now", e.Brokers)
	return nil
}
