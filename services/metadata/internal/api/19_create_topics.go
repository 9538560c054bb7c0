package api

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// CreateTopics, versions 0 to 7.
//
// An answer without an error means that the topic's streams and entry are
// stored and that this instance knows them. A manual assignment gives the
// numbers of partitions and replicas; which brokers lead follows from names.
//
//	v1 validate only, error messages
//	v4 -1 asks for default partitions and replication factor (allowed in all
//	   versions here)
//	v5 the answer has the numbers and configs (KIP-525), never null: Java's
//	   Admin trips over null
//	v7 the answer has the topic id
func (a *API) createTopics(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.CreateTopicsRequest)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	ctx, cancel := within(ctx, req.TimeoutMillis)
	defer cancel()
	asked := make(map[string]int)
	for i := range req.Topics {
		asked[req.Topics[i].Topic]++
	}
	var once []*kmsg.CreateTopicsRequestTopic
	for i := range req.Topics {
		t := &req.Topics[i]
		if n := asked[t.Topic]; n == 1 {
			once = append(once, t)
		} else if n > 1 { // told once, as in Kafka
			asked[t.Topic] = 0
			resp.Topics = append(resp.Topics, createdTopic(t.Topic, refused(kerr.InvalidRequest, "Duplicate topic name.")))
		}
	}
	resp.Topics = append(resp.Topics, topics.Map(once, func(t *kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsResponseTopic {
		return a.createTopic(ctx, t, req.ValidateOnly)
	})...)
	return resp, nil
}

func (a *API) createTopic(ctx context.Context, t *kmsg.CreateTopicsRequestTopic, validateOnly bool) kmsg.CreateTopicsResponseTopic {
	spec, err := topics.Resolve(t, a.limits())
	if existing := a.admin.CheckNew(t.Topic); existing != nil && cluster.ValidateTopicName(t.Topic) == nil {
		err = existing // Kafka tells of a topic that exists before anything else about it
	}
	if internal := refuseInternal(t.Topic); internal != nil {
		err = internal
	}
	if err != nil {
		return createdTopic(t.Topic, err)
	}
	created := &cluster.Topic{Name: spec.Name, Partitions: spec.Partitions, Logs: spec.Logs, ReplicationFactor: spec.Factor, Configs: spec.Configs}
	if !validateOnly {
		if created, err = a.admin.Create(ctx, spec); err != nil {
			return createdTopic(t.Topic, err)
		}
	}
	rt := createdTopic(t.Topic, nil)
	rt.TopicID, rt.NumPartitions, rt.ReplicationFactor = created.ID, created.Partitions, created.ReplicationFactor
	rt.Configs = a.createdConfigs(created)
	return rt
}

// refuseInternal refuses changes of the internal topic, which is a view only.
func refuseInternal(name string) error {
	if name == cluster.OffsetsTopicName {
		return refused(kerr.InvalidTopicException, "The topic "+name+" is internal: it shows the coordination logs and cannot be changed.")
	}
	return nil
}

func createdTopic(name string, err error) kmsg.CreateTopicsResponseTopic {
	rt := kmsg.NewCreateTopicsResponseTopic()
	rt.Topic = name
	rt.ErrorCode, rt.ErrorMessage = topics.Code(err)
	rt.NumPartitions, rt.ReplicationFactor = -1, -1
	rt.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	return rt
}

func (a *API) createdConfigs(t *cluster.Topic) []kmsg.CreateTopicsResponseTopicConfig {
	out := make([]kmsg.CreateTopicsResponseTopicConfig, 0, len(cluster.TopicConfigs))
	for i := range cluster.TopicConfigs {
		d := &cluster.TopicConfigs[i]
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		value := a.settings.effective(d.Name, t.Config(d.Name))
		c.Name, c.Value, c.ReadOnly, c.Source = d.Name, &value, d.ReadOnly, int8(kmsg.ConfigSourceDefaultConfig)
		if _, set := t.Configs[d.Name]; set {
			c.Source = int8(kmsg.ConfigSourceDynamicTopicConfig)
		}
		out = append(out, c)
	}
	return out
}

func refused(kafka *kerr.Error, reason string) error {
	return &topics.Error{Kafka: kafka, Reason: reason}
}

func itoa[N int16 | int32 | int64 | int](n N) string { return strconv.FormatInt(int64(n), 10) }
