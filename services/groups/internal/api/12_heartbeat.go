package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// Heartbeat, versions 0 to 4, of classic groups.
//
//	v3 static members (KIP-345)
func (a *API) heartbeat(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.HeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	if req.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return resp, nil
	}
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error {
		return c.Heartbeat(ctx, req.Group, req.MemberID, value(req.InstanceID), req.Generation)
	})
	if err != nil {
		return nil, err
	}
	resp.ErrorCode = code(e)
	return resp, nil
}
