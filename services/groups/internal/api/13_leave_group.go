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
	leaving := leavingMembers(req)
	results := make([]*kerr.Error, len(leaving))
	done := 0
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error {
		return leaveAll(ctx, c, req.Group, leaving, results, &done)
	})
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = code(e); e != nil {
		return resp, nil
	}
	if req.Version < 3 {
		resp.ErrorCode = code(results[0])
		return resp, nil
	}
	for i, m := range req.Members {
		rm := kmsg.NewLeaveGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ErrorCode = m.MemberID, m.InstanceID, code(results[i])
		resp.Members = append(resp.Members, rm)
	}
	return resp, nil
}

// leaveAll removes the members from *done on. If the log moves on the way, those
// that are gone already are not asked for again.
func leaveAll(ctx context.Context, c *coordinator.Coordinator, group string, leaving []coordinator.Leaving, results []*kerr.Error, done *int) *kerr.Error {
	for ; *done < len(leaving); *done++ {
		e := c.Leave(ctx, group, leaving[*done])
		if e == kerr.NotCoordinator {
			return e
		}
		results[*done] = e
	}
	return nil
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
