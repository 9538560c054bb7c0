package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/group"
)

// SyncGroup, versions 0 to 5, of classic groups. An assignment that is handed
// out is in the coordination log.
//
//	v3 static members (KIP-345)
//	v5 protocol type and name, checked if given (KIP-559)
func (a *API) syncGroup(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.SyncGroupRequest)
	if req.Group == "" {
		return syncResponse(req, &group.SyncAnswer{Err: kerr.InvalidGroupID}), nil
	}
	var answer group.SyncAnswer
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error {
		answer = c.Sync(ctx, req.Group, readSync(req), r.Park)
		return answer.Err
	})
	if err != nil {
		return nil, err
	}
	answer.Err = e
	return syncResponse(req, &answer), nil
}

func readSync(req *kmsg.SyncGroupRequest) *group.Sync {
	s := &group.Sync{
		MemberID: req.MemberID, InstanceID: value(req.InstanceID), Generation: req.Generation,
		Type: req.ProtocolType, Protocol: req.Protocol,
		Assignment: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for _, m := range req.GroupAssignment {
		// Copied: the frame that it aliases is large and the assignment stays.
		s.Assignment[m.MemberID] = append([]byte(nil), m.MemberAssignment...)
	}
	return s
}

func syncResponse(req *kmsg.SyncGroupRequest, a *group.SyncAnswer) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	resp.ErrorCode, resp.MemberAssignment = code(a.Err), a.Assignment
	if a.Err == nil {
		resp.ProtocolType, resp.Protocol = &a.Type, &a.Protocol
	}
	if resp.MemberAssignment == nil {
		resp.MemberAssignment = []byte{}
	}
	return resp
}
