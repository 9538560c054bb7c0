package api

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// ListGroups, versions 0 to 5.
//
// As in Kafka, a broker lists the groups that it coordinates, and clients ask
// all brokers. A connection that is for no broker gets those of all logs that
// this instance holds.
//
//	v4 states, as filter and in the answer (KIP-518)
//	v5 types, as filter and in the answer (KIP-848)
func (a *API) listGroups(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.ListGroupsRequest)
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	resp.Groups = []kmsg.ListGroupsResponseGroup{}
	e, err := a.onOwn(ctx, r, func(c *coordinator.Coordinator) *kerr.Error {
		groups, e := c.List(ctx)
		for _, g := range groups {
			if rg := listedGroup(&g); wanted(req.StatesFilter, rg.GroupState) && wanted(req.TypesFilter, rg.GroupType) {
				resp.Groups = append(resp.Groups, rg)
			}
		}
		return e
	})
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = code(e); e != nil {
		resp.Groups = []kmsg.ListGroupsResponseGroup{}
	}
	return resp, nil
}

func listedGroup(g *coordinator.Listed) kmsg.ListGroupsResponseGroup {
	rg := kmsg.NewListGroupsResponseGroup()
	rg.Group, rg.ProtocolType, rg.GroupState, rg.GroupType = g.ID, g.Protocol, g.State, g.Type
	return rg
}

// wanted tells whether a filter lets a value through; an empty one lets all.
func wanted(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
