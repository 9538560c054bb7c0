package api

import (
	"context"
	"slices"
	"strings"

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
	for index := range a.reg.Info().CoordinationLogs {
		if r.Broker > 0 && a.reg.CoordinationLeader(index) != r.Broker {
			continue
		}
		c, err := a.shelf.Log(ctx, index, r.MustServe && r.Broker > 0)
		e, outcome := found(err)
		switch {
		case outcome != nil && r.Broker > 0:
			return nil, outcome
		case outcome != nil:
			continue
		}
		var groups []coordinator.Listed
		if e == nil {
			groups, e = c.List(ctx)
		}
		if e != nil {
			resp.ErrorCode = e.Code
			resp.Groups = []kmsg.ListGroupsResponseGroup{}
			return resp, nil
		}
		for _, g := range groups {
			if rg := listedGroup(&g); wanted(req.StatesFilter, rg.GroupState) && wanted(req.TypesFilter, rg.GroupType) {
				resp.Groups = append(resp.Groups, rg)
			}
		}
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
