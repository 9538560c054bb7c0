package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/services/groups/internal/group"
)

// Describe describes a group; GROUP_ID_NOT_FOUND when there is none.
func (c *Coordinator) Describe(ctx context.Context, groupID string) (group.Description, *kerr.Error) {
	type answered struct {
		d group.Description
		e *kerr.Error
	}
	a := ask(ctx, c, answered{e: kerr.NotCoordinator}, func(answer func(answered)) {
		var try func()
		try = func() {
			c.confirm(func(failed *kerr.Error) {
				switch e := c.groups[groupID]; {
				case failed != nil:
					answer(answered{e: failed})
				case e == nil || e.State() == group.Dead:
					answer(answered{d: group.Description{State: group.Dead}, e: kerr.GroupIDNotFound})
				default:
					answer(answered{d: e.Describe()})
				}
			}, try)
		}
		try()
	})
	return a.d, a.e
}

// Listed is a group as ListGroups shows it.
type Listed struct {
	ID, Type string
	State    group.State
}

// List lists the groups of this log by id.
func (c *Coordinator) List(ctx context.Context) ([]Listed, *kerr.Error) {
	type answered struct {
		groups []Listed
		e      *kerr.Error
	}
	a := ask(ctx, c, answered{e: kerr.NotCoordinator}, func(answer func(answered)) {
		var try func()
		try = func() {
			c.confirm(func(failed *kerr.Error) { answer(answered{c.list(), failed}) }, try)
		}
		try()
	})
	return a.groups, a.e
}

func (c *Coordinator) list() []Listed {
	out := make([]Listed, 0, len(c.groups))
	for id, e := range c.groups {
		if e.State() != group.Dead {
			out = append(out, Listed{ID: id, Type: e.ProtocolType(), State: e.State()})
		}
	}
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Delete deletes an empty group with its offsets.
func (c *Coordinator) Delete(ctx context.Context, groupID string) *kerr.Error {
	return ask(ctx, c, kerr.NotCoordinator, func(answer func(*kerr.Error)) {
		var try func()
		try = func() {
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
	if refused := e.Group.Delete(); refused != nil {
		c.settle(refused, answer, again)
		return
	}
	keys := []string{groupKey(id)}
	for p := range e.offsets {
		keys = append(keys, offsetKey(id, p))
	}
	c.remove(keys, func(err error) {
		switch {
		case err == nil:
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
	case e.State() == group.Empty:
		return nil, each
	case e.ProtocolType() != "consumer":
		return kerr.NonEmptyGroup, each
	}
	for i, p := range partitions {
		if e.subscribedTo(p.Topic) {
			each[i] = kerr.GroupSubscribedToTopic
		}
	}
	return nil, each
}
