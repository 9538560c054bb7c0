package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// DescribeConfigs, versions 0 to 4, of topics and brokers.
//
// Values are what the cluster does: of a broker those of the front end by which
// the request came, since every front end serves all brokers. Configs that
// nothing acts on say so in their documentation. Loggers, groups and client
// metrics have no configs here.
//
//	v1 sources and synonyms
//	v3 types and documentation
func (a *API) describeConfigs(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for i := range req.Resources {
		q := &req.Resources[i]
		entries, err := a.configsOf(ctx, q, r.Origin.FrontEnd)
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = q.ResourceType, q.ResourceName
		rr.ErrorCode, rr.ErrorMessage = topics.Code(err)
		rr.Configs = []kmsg.DescribeConfigsResponseResourceConfig{}
		for _, e := range entries {
			if len(q.ConfigNames) == 0 || slices.Contains(q.ConfigNames, e.name) {
				rr.Configs = append(rr.Configs, e.response(req))
			}
		}
		resp.Resources = append(resp.Resources, rr)
	}
	return resp, nil
}

func (a *API) configsOf(ctx context.Context, q *kmsg.DescribeConfigsRequestResource, frontEnd string) ([]configEntry, error) {
	switch q.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		return a.topicConfigs(ctx, q.ResourceName)
	case kmsg.ConfigResourceTypeBroker:
		return a.brokerConfigs(q.ResourceName, frontEnd)
	}
	return nil, refused(kerr.InvalidRequest, "Configs of resource type "+q.ResourceType.String()+" are not kept here.")
}

func (a *API) topicConfigs(ctx context.Context, name string) ([]configEntry, error) {
	if err := cluster.ValidateTopicName(name); err != nil {
		return nil, refused(kerr.InvalidTopicException, "Topic name is invalid: "+err.Error())
	}
	t := a.topic(ctx, name)
	if t == nil {
		return nil, refused(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	}
	out := make([]configEntry, 0, len(cluster.TopicConfigs))
	for i := range cluster.TopicConfigs {
		out = append(out, topicConfigEntry(t, &cluster.TopicConfigs[i], &a.settings))
	}
	return out, nil
}
