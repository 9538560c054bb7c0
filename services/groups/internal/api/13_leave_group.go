package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// LeaveGroup, versions 0 to 5, of classic groups.
//
//	v3 several members, by id or instance id (KIP-345)
//	v5 a reason, for the log
func (a *API) leaveGroup(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.LeaveGroupRequest)
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	resp.Members = []kmsg.LeaveGroupResponseMember{}
	if req.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return resp, nil
	}
	c, e, err := a.group(r, req.Group)
	if err != nil {
		return nil, err
	}
	if e != nil {
		resp.ErrorCode = e.Code
		return resp, nil
	}
	leaving := leavingMembers(req)
	results := c.Leave(ctx, req.Group, leaving)
	for _, e := range results {
		if e == kerr.NotCoordinator || req.Version < 3 { // about the request, not about one member
			resp.ErrorCode = code(e)
		}
	}
	if req.Version < 3 || resp.ErrorCode != 0 {
		return resp, nil
	}
	for i, m := range req.Members {
		rm := kmsg.NewLeaveGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ErrorCode = m.MemberID, m.InstanceID, code(results[i])
		resp.Members = append(resp.Members, rm)
	}
	return resp, nil
}

func leavingMembers(req *kmsg.LeaveGroupRequest) (out []coordinator.Leaving) {
	if req.Version < 3 {
		return []coordinator.Leaving{{MemberID: req.MemberID}}
	}
	for _, m := range req.Members {
		out = append(out, coordinator.Leaving{MemberID: m.MemberID, InstanceID: value(m.InstanceID)})
	}
	return out
}
