package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// DeleteGroups, versions 0 to 2: of empty groups, with their offsets.
func (a *API) deleteGroups(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DeleteGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(req.Groups))
	err := a.each(r, req.Groups, func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error {
		rg := kmsg.NewDeleteGroupsResponseGroup()
		if rg.Group = req.Groups[i]; e == nil {
			e = c.Delete(ctx, rg.Group)
		}
		rg.ErrorCode = code(e)
		resp.Groups[i] = rg
		return e
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}
