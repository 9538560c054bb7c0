package coordinator

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/libs/requestchannel"
)

// Commit is what a member, or somebody without membership, commits.
type Commit struct {
	MemberID, InstanceID string
	Generation           int32
	Version              int16 // of OffsetCommit
	Offsets              map[Partition]Offset
}

// Commit stores offsets; the error is of all of them.
func (c *Coordinator) Commit(ctx context.Context, groupID string, q *Commit) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) { c.commit(ctx, groupID, q, answer) })
}

func (c *Coordinator) commit(ctx context.Context, groupID string, q *Commit, answer func(*kerr.Error)) {
	if requestchannel.Overtaken(ctx) { // what came after it may be in the log already
		answer(kerr.NotCoordinator)
		return
	}
	again := func() { c.commit(ctx, groupID, q, answer) }
	if e := c.checkCommit(groupID, q); e != nil || len(q.Offsets) == 0 {
		c.settle(e, answer, again)
		return
	}
	e := c.groups[groupID]
	if e != nil {
		e.commits++
	}
	c.submit(offsetChanges(groupID, q.Offsets), func(err error) {
		if e != nil {
			e.commits--
		}
		switch {
		case err == nil:
			c.committed(groupID, q.Offsets)
			answer(nil)
		case errors.Is(err, log.ErrConflict):
			again()
		case errors.Is(err, log.ErrTooLarge):
			answer(kerr.InvalidCommitOffsetSize)
		default:
			answer(kerr.NotCoordinator)
		}
	})
}

func (c *Coordinator) checkCommit(groupID string, q *Commit) *kerr.Error {
	e := c.groups[groupID]
	switch {
	case e != nil && e.consumer != nil:
		return e.consumer.CheckCommit(q.MemberID, q.Generation, q.Version)
	case e != nil:
		return e.CheckCommit(c.cfg.Now(), q.MemberID, q.InstanceID, q.Generation)
	case q.Generation >= 0 && q.Version >= 9:
		return kerr.GroupIDNotFound
	case q.Generation >= 0:
		return kerr.IllegalGeneration
	}
	return nil // a group that only keeps offsets begins here
}

func offsetChanges(groupID string, offsets map[Partition]Offset) []log.Change {
	changes := make([]log.Change, 0, len(offsets))
	for p, o := range offsets {
		changes = append(changes, log.Change{Key: offsetKey(groupID, p), Value: o.encode()})
	}
	return changes
}

// committed shows what is in the log.
func (c *Coordinator) committed(groupID string, offsets map[Partition]Offset) {
	if c.groups[groupID] == nil {
		c.cfg.Metrics.hold(1)
	}
	e := c.ensure(groupID)
	for p, o := range offsets {
		e.offsets[p] = o
	}
	c.cfg.Metrics.committed(len(offsets))
}

// Offsets gives a copy of all committed offsets of a group, of topics that
// live; none for a group that does not exist. It rests on a confirmed tail of
// the log: an older offset would have a consumer read records again.
func (c *Coordinator) Offsets(ctx context.Context, groupID string) (map[Partition]Offset, *kerr.Error) {
	return c.OffsetsFor(ctx, groupID, "", -1)
}

// OffsetsFor is Offsets for a member of a consumer group at its epoch.
func (c *Coordinator) OffsetsFor(ctx context.Context, groupID, memberID string, epoch int32) (map[Partition]Offset, *kerr.Error) {
	return confirmed(ctx, c, func() (map[Partition]Offset, *kerr.Error) {
		if e := c.groups[groupID]; e != nil && e.consumer != nil {
			if refused := e.consumer.CheckFetch(memberID, epoch); refused != nil {
				return nil, refused
			}
		}
		return c.liveOffsets(groupID), nil
	})
}

func (c *Coordinator) liveOffsets(groupID string) map[Partition]Offset {
	out := make(map[Partition]Offset)
	if e := c.groups[groupID]; e != nil {
		for p, o := range e.offsets {
			if c.cfg.TopicLives(p.Topic, o.TopicID) {
				out[p] = o
			}
		}
	}
	c.markUnstable(groupID, out)
	return out
}
