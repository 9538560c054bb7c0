package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/group"
)

// DescribeGroups, versions 0 to 6, of classic groups; consumer groups of KIP-848
// are not found.
//
//	v3 authorized operations
//	v4 instance ids
//	v6 GROUP_ID_NOT_FOUND for a group that does not exist (KIP-1043); before, it
//	   is described as dead
func (a *API) describeGroups(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DescribeGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(req.Groups))
	err := a.each(r, req.Groups, func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error {
		var d group.Description
		if e == nil {
			d, e = c.Describe(ctx, req.Groups[i])
		}
		resp.Groups[i] = describedGroup(req, req.Groups[i], d, e)
		return e
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func describedGroup(req *kmsg.DescribeGroupsRequest, id string, d group.Description, e *kerr.Error) kmsg.DescribeGroupsResponseGroup {
	rg := kmsg.NewDescribeGroupsResponseGroup()
	rg.Group = id
	rg.Members = []kmsg.DescribeGroupsResponseGroupMember{}
	if rg.AuthorizedOperations = notAsked; req.IncludeAuthorizedOperations {
		rg.AuthorizedOperations = groupOperations
	}
	switch {
	case e == kerr.GroupIDNotFound:
		rg.State = group.Dead.String()
		if req.Version >= 6 {
			rg.ErrorCode, rg.ErrorMessage = e.Code, &e.Description
		}
		return rg
	case e != nil:
		rg.ErrorCode = e.Code
		return rg
	}
	rg.State, rg.ProtocolType, rg.Protocol = d.State.String(), d.Type, d.Protocol
	for _, m := range d.Members {
		rm := kmsg.NewDescribeGroupsResponseGroupMember()
		rm.MemberID, rm.InstanceID, rm.ClientID, rm.ClientHost = m.ID, pointer(m.InstanceID), m.ClientID, m.ClientHost
		rm.ProtocolMetadata, rm.MemberAssignment = m.Metadata, m.Assignment
		rg.Members = append(rg.Members, rm)
	}
	return rg
}
