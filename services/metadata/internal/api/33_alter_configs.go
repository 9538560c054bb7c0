package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// AlterConfigs, versions 0 to 2, of topics and of the default of all brokers.
//
// What is given replaces all that was set before; clients that can use
// IncrementalAlterConfigs instead.
func (a *API) alterConfigs(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	resp.Resources = alterEach(ctx, a, req.Resources, readReplacement, req.ValidateOnly,
		func(r resource, code int16, message *string) kmsg.AlterConfigsResponseResource {
			return kmsg.AlterConfigsResponseResource{ResourceType: r.kind, ResourceName: r.name, ErrorCode: code, ErrorMessage: message}
		})
	return resp, nil
}

func readReplacement(q *kmsg.AlterConfigsRequestResource) (resource, change) {
	var configs []alteration
	for _, c := range q.Configs {
		configs = append(configs, alteration{c.Name, kmsg.IncrementalAlterConfigOpSet, c.Value})
	}
	return resource{q.ResourceType, q.ResourceName}, replacement(configs)
}
