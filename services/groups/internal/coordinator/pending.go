package coordinator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
)

// pendingOffset names an offset that waits for the end of a transaction.
type pendingOffset struct {
	group string
	Partition
}

// pendingOffsets are those of each producer (GroupMetadata's
// pendingTransactionalOffsetCommits).
type pendingOffsets map[int64]map[pendingOffset]Offset

func (all pendingOffsets) set(producer int64, p pendingOffset, o Offset) {
	if all[producer] == nil {
		all[producer] = make(map[pendingOffset]Offset)
	}
	all[producer][p] = o
}

// of lists the keys of a group's.
func (all pendingOffsets) of(group string) (keys []string) {
	for producer, offsets := range all {
		for p := range offsets {
			if p.group == group {
				keys = append(keys, pendingKey(producer, p))
			}
		}
	}
	return keys
}

// forget drops a group's.
func (all pendingOffsets) forget(group string) {
	for _, offsets := range all {
		maps.DeleteFunc(offsets, func(p pendingOffset, _ Offset) bool { return p.group == group })
	}
}

func pendingKey(producer int64, p pendingOffset) string {
	b := binary.BigEndian.AppendUint64([]byte{kindPending}, uint64(producer))
	return string(b) + offsetKey(p.group, p.Partition)
}

const pendingPrefix = 1 + 8

func parsePendingKey(key string) (producer int64, p pendingOffset, err error) {
	if len(key) < pendingPrefix || key[0] != kindPending {
		return 0, p, fmt.Errorf("%w: key %q", ErrInvalid, key)
	}
	producer = int64(binary.BigEndian.Uint64([]byte(key[1:pendingPrefix])))
	p.group, p.Partition, err = parseOffsetKey(key[pendingPrefix:])
	return producer, p, err
}

func (c *Coordinator) loadPending(key string, value []byte) {
	producer, p, err := parsePendingKey(key)
	o, err2 := decodeOffset(value)
	if err != nil || err2 != nil {
		c.cfg.Log.Error("stored offset was ignored", "key", key, "err", err, "err2", err2)
		return
	}
	c.pending.set(producer, p, o)
}

// Guard watches over the time between the check of a transaction and the commit
// of its offsets: should the transaction end in between, the commit comes too
// late (VerificationGuard). It is owned by the coordinator's goroutine.
type Guard struct {
	producer int64
	late     bool
}

// Guard begins to watch a producer's transaction. EndGuard ends that.
func (c *Coordinator) Guard(ctx context.Context, producer int64) *Guard {
	return ask(ctx, c, nil, func(answer func(*Guard)) {
		g := &Guard{producer: producer}
		c.guards[g] = struct{}{}
		answer(g)
	})
}

// EndGuard ends the watch.
func (c *Coordinator) EndGuard(g *Guard) { c.inbox.post(func() { delete(c.guards, g) }) }

// CommitPending stores offsets that count when the producer's transaction is
// committed, which was checked after g began to watch (TxnOffsetCommit).
func (c *Coordinator) CommitPending(ctx context.Context, groupID string, q *Commit, g *Guard) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) { c.commitPending(groupID, q, g, answer) })
}

func (c *Coordinator) commitPending(groupID string, q *Commit, g *Guard, answer func(*kerr.Error)) {
	if e := c.checkCommit(groupID, q); e != nil {
		c.settle(e, answer, func() { c.commitPending(groupID, q, g, answer) })
		return
	}
	switch {
	case g.late:
		answer(kerr.InvalidTxnState)
		return
	case len(q.Offsets) == 0:
		answer(nil)
		return
	}
	changes := make([]log.Change, 0, len(q.Offsets))
	for p, o := range q.Offsets {
		changes = append(changes, log.Change{Key: pendingKey(g.producer, pendingOffset{groupID, p}), Value: o.encode()})
	}
	c.submit(changes, func(err error) {
		switch {
		case err == nil:
			for p, o := range q.Offsets {
				c.pending.set(g.producer, pendingOffset{groupID, p}, o)
			}
			answer(nil)
		case errors.Is(err, log.ErrTooLarge):
			answer(kerr.InvalidCommitOffsetSize)
		default: // another holder may have ended the transaction: it has to be checked again
			answer(kerr.NotCoordinator)
		}
	})
}

// EndTransaction has a producer's pending offsets count, or forgets them, and
// returns when the log has that (WriteTxnMarkers for __consumer_offsets). It
// changes something even if there are none: a holder that is one no longer, and
// had the transaction checked before, then meets a conflict.
func (c *Coordinator) EndTransaction(ctx context.Context, producer int64, commit bool) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) { c.endTransaction(producer, commit, answer) })
}

// mostMoved bounds the offsets that one submission settles.
const mostMoved = 2000

func (c *Coordinator) endTransaction(producer int64, commit bool, answer func(*kerr.Error)) {
	for g := range c.guards {
		g.late = g.late || g.producer == producer
	}
	again := func() { c.endTransaction(producer, commit, answer) }
	moved := make(map[pendingOffset]Offset)
	var changes []log.Change
	for p, o := range c.pending[producer] {
		if len(moved) == mostMoved {
			break
		}
		moved[p] = o
		changes = append(changes, log.Change{Key: pendingKey(producer, p)})
		if commit {
			changes = append(changes, log.Change{Key: offsetKey(p.group, p.Partition), Value: o.encode()})
		}
	}
	if len(changes) == 0 {
		changes = []log.Change{{Key: markerKey, Value: binary.BigEndian.AppendUint64(nil, uint64(producer))}}
	}
	c.submit(changes, func(err error) {
		switch {
		case errors.Is(err, log.ErrConflict):
			again()
		case err != nil:
			answer(kerr.NotCoordinator)
		default:
			c.settled(producer, commit, moved)
			if len(c.pending[producer]) > 0 {
				again()
				return
			}
			delete(c.pending, producer)
			answer(nil)
		}
	})
}

// settled shows what the log says of offsets that were pending.
func (c *Coordinator) settled(producer int64, commit bool, moved map[pendingOffset]Offset) {
	byGroup := make(map[string]map[Partition]Offset)
	for p, o := range moved {
		delete(c.pending[producer], p)
		if byGroup[p.group] == nil {
			byGroup[p.group] = make(map[Partition]Offset)
		}
		byGroup[p.group][p.Partition] = o
	}
	if !commit {
		return
	}
	for group, offsets := range byGroup {
		c.committed(group, offsets)
	}
}

// markUnstable marks the offsets of a group that may be about to change.
func (c *Coordinator) markUnstable(groupID string, offsets map[Partition]Offset) {
	for _, pending := range c.pending {
		for p := range pending {
			if p.group != groupID {
				continue
			}
			o, committed := offsets[p.Partition]
			if !committed {
				o = Offset{Offset: -1, LeaderEpoch: -1}
			}
			o.Unstable = true
			offsets[p.Partition] = o
		}
	}
}
