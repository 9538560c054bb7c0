package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/future"
)

// producerBlock is how many producer ids one conditional write takes, as in
// Kafka (ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE). What a process does not hand
// out is lost with it, which 63 bits can bear.
const producerBlock = 1000

// producerIDs hands out ids of the block that this process has taken.
type producerIDs struct {
	mu        sync.Mutex
	next, end int64
}

const producerVersion = 1

type producerEntry struct {
	Version int   `json:"version"`
	Next    int64 `json:"next"` // the first id that nobody has taken
	future.Fields
}

func decodeProducerIDs(value []byte) (producerEntry, error) {
	var e producerEntry
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, producerKey, err)
	}
	if e.Version != producerVersion || e.Next < 0 || e.Next > math.MaxInt64-producerBlock {
		return e, fmt.Errorf("%w: %s: version %d, next %d", ErrInvalidEntry, producerKey, e.Version, e.Next)
	}
	return e, nil
}

// ProducerID gives an id that nobody in the cluster has or had.
func (r *Registry) ProducerID(ctx context.Context) (int64, error) {
	p := &r.producers
	p.mu.Lock() // held while a block is taken: whoever comes meanwhile needs that block
	defer p.mu.Unlock()
	if p.next == p.end {
		first, err := r.takeProducerBlock(ctx)
		if err != nil {
			return 0, err
		}
		p.next, p.end = first, first+producerBlock
	}
	p.next++
	return p.next - 1, nil
}

// takeProducerBlock moves the stored number on by one block. After an unknown
// outcome it takes another block instead of asking what happened.
func (r *Registry) takeProducerBlock(ctx context.Context) (first int64, err error) {
	for {
		first = 0
		entry, err := r.kv.Get(ctx, producerKey)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			_, err = r.kv.Create(ctx, producerKey, encodeProducerIDs(producerBlock))
		case err == nil:
			var e producerEntry
			if e, err = decodeProducerIDs(entry.Value()); err == nil {
				first = e.Next
				_, err = r.kv.Update(ctx, producerKey, encodeProducerIDs(first+producerBlock), entry.Revision())
			}
		}
		if err == nil {
			return first, nil
		}
		if !isConflict(err) {
			return 0, fmt.Errorf("take a block of producer ids: %w", err)
		}
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
}

func encodeProducerIDs(next int64) []byte {
	value, err := json.Marshal(producerEntry{Version: producerVersion, Next: next})
	if err != nil {
		panic(err) // two integers
	}
	return value
}
