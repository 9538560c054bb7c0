package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/libs/requestchannel"
	"kanal/services/groups/internal/group"
)

// Describe describes a classic group; GROUP_ID_NOT_FOUND when there is none with
// that id.
func (c *Coordinator) Describe(ctx context.Context, groupID string) (group.Description, *kerr.Error) {
	return confirmed(ctx, c, func() (group.Description, *kerr.Error) {
		e := c.groups[groupID]
		if e == nil || e.consumer != nil || e.State() == group.Dead {
			return group.Description{State: group.Dead}, kerr.GroupIDNotFound
		}
		return e.Describe(), nil
	})
}

// Listed is a group as ListGroups shows it.
type Listed struct{ ID, Protocol, Type, State string }

// List lists the groups of this log by id.
func (c *Coordinator) List(ctx context.Context) ([]Listed, *kerr.Error) {
	return confirmed(ctx, c, func() ([]Listed, *kerr.Error) {
		out := make([]Listed, 0, len(c.groups))
		for _, e := range c.groups {
			if e.State() != group.Dead {
				out = append(out, e.listed())
			}
		}
		slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.ID, b.ID) })
		return out, nil
	})
}

// Delete deletes an empty group with its offsets.
func (c *Coordinator) Delete(ctx context.Context, groupID string) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) {
		var try func()
		try = func() {
			if requestchannel.Overtaken(ctx) {
				answer(kerr.NotCoordinator)
				return
			}
			e := c.groups[groupID]
			if e == nil {
				c.settle(kerr.GroupIDNotFound, answer, try)
				return
			}
			c.deleteGroup(e, groupID, answer, try)
		}
		try()
	})
}

// deleteGroup makes the group dead, so that nobody joins meanwhile, deletes its
// keys, then forgets it. A group whose deletion did not get through is loaded
// again.
func (c *Coordinator) deleteGroup(e *entry, id string, answer func(*kerr.Error), again func()) {
	refused := kerr.NonEmptyGroup
	if e.empty() || e.State() == group.Dead {
		refused = e.Group.Delete()
	}
	if refused != nil {
		c.settle(refused, answer, again)
		return
	}
	c.remove(append(e.keys(), c.pending.of(id)...), func(err error) {
		switch {
		case err == nil:
			c.pending.forget(id)
			if c.groups[id] == e {
				delete(c.groups, id)
				c.cfg.Metrics.hold(-1)
			}
			answer(nil)
		case errors.Is(err, log.ErrConflict):
			if c.groups[id] == e { // not loaded again, or not yet
				e.Revive()
			}
			again()
		default:
			if c.groups[id] == e {
				c.restore(id, kerr.NotCoordinator)
			}
			answer(kerr.NotCoordinator)
		}
	})
}

// DeleteOffsets deletes committed offsets of partitions; those of topics that a
// member reads stay. The second result has an error for each partition, when
// the first is nil.
func (c *Coordinator) DeleteOffsets(ctx context.Context, groupID string, partitions []Partition) (*kerr.Error, []*kerr.Error) {
	type answered struct {
		e    *kerr.Error
		each []*kerr.Error
	}
	a := ask(ctx, c, answered{e: kerr.NotCoordinator}, func(answer func(answered)) {
		var try func()
		try = func() {
			if requestchannel.Overtaken(ctx) {
				answer(answered{e: kerr.NotCoordinator})
				return
			}
			e := c.groups[groupID]
			refused, each := checkDeleteOffsets(e, partitions)
			finish := func(failed *kerr.Error) { answer(answered{failed, each}) }
			if refused != nil || !slices.Contains(each, nil) {
				c.confirm(func(failed *kerr.Error) {
					if failed == nil {
						failed = refused
					}
					finish(failed)
				}, try)
				return
			}
			c.forgetOffsets(e, allowed(partitions, each), func(err error) {
				switch {
				case err == nil:
					finish(nil)
				case errors.Is(err, log.ErrConflict):
					try()
				default:
					finish(kerr.NotCoordinator)
				}
			})
		}
		try()
	})
	return a.e, a.each
}

func allowed(partitions []Partition, each []*kerr.Error) (out []Partition) {
	for i, p := range partitions {
		if each[i] == nil {
			out = append(out, p)
		}
	}
	return out
}

func checkDeleteOffsets(e *entry, partitions []Partition) (*kerr.Error, []*kerr.Error) {
	each := make([]*kerr.Error, len(partitions))
	switch {
	case e == nil || e.State() == group.Dead:
		return kerr.GroupIDNotFound, each
	case e.empty():
		return nil, each
	case e.consumer == nil && e.ProtocolType() != "consumer":
		return kerr.NonEmptyGroup, each
	}
	for i, p := range partitions {
		if e.subscribedTo(p.Topic) {
			each[i] = kerr.GroupSubscribedToTopic
		}
	}
	return nil, each
}
