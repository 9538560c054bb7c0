package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// IncrementalAlterConfigs, versions 0 and 1, of topics and of the default of all
// brokers: set, delete, and for lists append and subtract.
func (a *API) incrementalAlterConfigs(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	asked := map[resource]int{}
	for i := range req.Resources {
		asked[resource{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	for i := range req.Resources {
		q := &req.Resources[i]
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = q.ResourceType, q.ResourceName
		var configs []alteration
		for _, c := range q.Configs {
			configs = append(configs, alteration{c.Name, c.Op, c.Value})
		}
		rr.ErrorCode, rr.ErrorMessage = topics.Code(a.alterOnce(ctx, resource{q.ResourceType, q.ResourceName}, asked, incremental(configs), req.ValidateOnly))
		resp.Resources = append(resp.Resources, rr)
	}
	return resp, nil
}
