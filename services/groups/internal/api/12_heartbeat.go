package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
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
	c, e, err := a.group(r, req.Group)
	if err != nil {
		return nil, err
	}
	if e == nil {
		e = c.Heartbeat(ctx, req.Group, req.MemberID, value(req.InstanceID), req.Generation)
	}
	resp.ErrorCode = code(e)
	return resp, nil
}
