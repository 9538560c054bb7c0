package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// IncrementalAlterConfigs, versions 0 and 1, of topics and of the default of all
// brokers: set, delete, and for lists append and subtract.
func (a *API) incrementalAlterConfigs(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	resp.Resources = alterEach(ctx, a, req.Resources, readIncrement, req.ValidateOnly,
		func(r resource, code int16, message *string) kmsg.IncrementalAlterConfigsResponseResource {
			return kmsg.IncrementalAlterConfigsResponseResource{ResourceType: r.kind, ResourceName: r.name, ErrorCode: code, ErrorMessage: message}
		})
	return resp, nil
}

func readIncrement(q *kmsg.IncrementalAlterConfigsRequestResource) (resource, change) {
	var configs []alteration
	for _, c := range q.Configs {
		configs = append(configs, alteration{c.Name, c.Op, c.Value})
	}
	return resource{q.ResourceType, q.ResourceName}, incremental(configs)
}
