package topiclog

import (
	"maps"
	"slices"
)

// Producer is an idempotent producer as a partition knows it.
type Producer struct {
	ID           int64
	Epoch        int16
	LastSequence int32
	Updated      int64 // when its last batch was stored, in milliseconds
}

// Producers lists the producers of a partition that have not expired, by id.
func (l *Log) Producers(number int32) []Producer {
	before := l.cfg.Now().Add(-l.cfg.ProducerExpiry).UnixMilli()
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := l.state.partitions[number]
	if p == nil {
		return nil
	}
	var all []Producer
	for _, id := range slices.Sorted(maps.Keys(p.producers)) {
		if s := p.producers[id]; s.Updated >= before && s.Count > 0 {
			all = append(all, Producer{id, s.Epoch, s.Batches[s.Count-1].Last, s.Updated})
		}
	}
	return all
}
