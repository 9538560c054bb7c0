package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// AlterConfigs, versions 0 to 2, of topics and of the default of all brokers.
//
// What is given replaces all that was set before; clients that can use
// IncrementalAlterConfigs instead.
func (a *API) alterConfigs(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	asked := map[resource]int{}
	for i := range req.Resources {
		asked[resource{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	for i := range req.Resources {
		q := &req.Resources[i]
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = q.ResourceType, q.ResourceName
		var configs []alteration
		for _, c := range q.Configs {
			configs = append(configs, alteration{c.Name, kmsg.IncrementalAlterConfigOpSet, c.Value})
		}
		rr.ErrorCode, rr.ErrorMessage = topics.Code(a.alterOnce(ctx, resource{q.ResourceType, q.ResourceName}, asked, replacement(configs), req.ValidateOnly))
		resp.Resources = append(resp.Resources, rr)
	}
	return resp, nil
}

// alterOnce is alter for resources that a request has once. Of two changes of
// one, neither is meant to win.
func (a *API) alterOnce(ctx context.Context, r resource, asked map[resource]int, ch change, validateOnly bool) error {
	if asked[r] > 1 {
		return refused(kerr.InvalidRequest, "Each resource must appear at most once.")
	}
	return a.alter(ctx, r, ch, validateOnly)
}
