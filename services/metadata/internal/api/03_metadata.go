package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/metadata/internal/topics"
)

// Metadata, versions 0 to 13.
//
// Brokers are those of the listener that the request came by. A topic that is
// asked for by name and missing is made at once where the request and the
// configuration allow it, so that the first answer has it already; Kafka
// answers LEADER_NOT_AVAILABLE first. The coordination logs are shown as
// Kafka's internal topic __consumer_offsets once somebody has looked for a
// coordinator; nobody can read it.
//
//	v0  an empty list asks for all topics
//	v1  null asks for all, empty for none; controller id, racks
//	v4  the request says whether missing topics may be made; always, before
//	v5  offline replicas
//	v7  leader epochs
//	v8  authorized operations; of the cluster up to v10
//	v10 topic ids; asking by id works from v12 (KIP-516)
//	v13 top-level error (KIP-1102), never set: a front end tells clients to
//	    start over itself
func (a *API) metadata(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.MetadataRequest)
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	info := a.reg.Info()
	brokers, err := a.brokers.List(ctx, r.Listener, info.Brokers)
	if err != nil {
		return nil, err
	}
	for _, b := range brokers {
		rb := kmsg.NewMetadataResponseBroker()
		rb.NodeID, rb.Host, rb.Port = b.ID, b.Host, b.Port
		resp.Brokers = append(resp.Brokers, rb)
	}
	resp.ClusterID = &info.ClusterID
	resp.ControllerID = controller
	resp.AuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	resp.Topics = a.metadataTopics(ctx, req, info)
	return resp, nil
}

func (a *API) metadataTopics(ctx context.Context, req *kmsg.MetadataRequest, info cluster.Info) []kmsg.MetadataResponseTopic {
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		all := a.reg.Topics()
		if internal := a.reg.OffsetsTopic(); internal != nil {
			all = append([]*cluster.Topic{internal}, all...)
		}
		out := make([]kmsg.MetadataResponseTopic, len(all))
		for i, t := range all {
			out[i] = a.describeTopic(t, req, info)
		}
		return out
	}
	made := a.makeMissing(ctx, req)
	out := make([]kmsg.MetadataResponseTopic, len(req.Topics))
	for i := range req.Topics {
		out[i] = a.metadataTopic(&req.Topics[i], made, req, info)
	}
	return out
}

// made is what became of a topic that was missing.
type made struct {
	topic *cluster.Topic
	err   error
}

// makeMissing makes the topics that are asked for, missing and allowed to be
// made, several at a time.
func (a *API) makeMissing(ctx context.Context, req *kmsg.MetadataRequest) map[string]made {
	if !a.settings.AutoCreateTopics || req.Version >= 4 && !req.AllowAutoTopicCreation {
		return nil
	}
	var missing []string
	out := make(map[string]made)
	for _, t := range req.Topics {
		if t.Topic == nil {
			continue
		}
		if _, twice := out[*t.Topic]; !twice && a.known(*t.Topic) == nil && *t.Topic != cluster.OffsetsTopicName {
			out[*t.Topic] = made{}
			missing = append(missing, *t.Topic)
		}
	}
	results := topics.Map(missing, func(name string) made { return a.autoCreate(ctx, name) })
	for i, name := range missing {
		out[name] = results[i]
	}
	return out
}

func (a *API) autoCreate(ctx context.Context, name string) made {
	spec, err := topics.Resolve(&kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: -1, ReplicationFactor: -1}, a.limits())
	if err != nil {
		return made{err: err}
	}
	t, err := a.admin.Ensure(ctx, spec)
	return made{t, err}
}

func (a *API) metadataTopic(t *kmsg.MetadataRequestTopic, made map[string]made, req *kmsg.MetadataRequest, info cluster.Info) kmsg.MetadataResponseTopic {
	if t.Topic == nil {
		return a.metadataByID(t, req, info)
	}
	if found := a.known(*t.Topic); found != nil {
		return a.describeTopic(found, req, info)
	}
	m := made[*t.Topic]
	if m.topic != nil {
		return a.describeTopic(m.topic, req, info)
	}
	return missingTopic(t, autoCreateCode(*t.Topic, m.err))
}

func (a *API) metadataByID(t *kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest, info cluster.Info) kmsg.MetadataResponseTopic {
	if found := a.knownByID(t.TopicID); found != nil && req.Version >= 12 {
		return a.describeTopic(found, req, info)
	}
	if cluster.ID(t.TopicID).IsZero() || req.Version < 12 {
		return missingTopic(t, kerr.InvalidRequest)
	}
	return missingTopic(t, kerr.UnknownTopicID)
}

// autoCreateCode is what a client is told of a topic that could not be made.
// Trouble with storage may pass: clients ask again on LEADER_NOT_AVAILABLE.
func autoCreateCode(name string, err error) *kerr.Error {
	switch {
	case cluster.ValidateTopicName(name) != nil:
		return kerr.InvalidTopicException
	case err == nil:
		return kerr.UnknownTopicOrPartition
	}
	if code, _ := topics.Code(err); topics.IsRefusal(err) && code != kerr.RequestTimedOut.Code && code != kerr.TopicAlreadyExists.Code {
		return kerr.TypedErrorForCode(code)
	}
	return kerr.LeaderNotAvailable
}

func missingTopic(t *kmsg.MetadataRequestTopic, e *kerr.Error) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.ErrorCode = t.Topic, t.TopicID, e.Code
	return rt
}

func (a *API) describeTopic(t *cluster.Topic, req *kmsg.MetadataRequest, info cluster.Info) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = &t.Name, t.ID, t.Name == cluster.OffsetsTopicName
	rt.AuthorizedOperations = operations(req.IncludeTopicAuthorizedOperations, topicOperations)
	rt.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	for i := range rt.Partitions {
		p := &rt.Partitions[i]
		p.Partition = int32(i)
		p.Leader = a.leader(t, p.Partition)
		p.LeaderEpoch = info.LeaderEpoch
		p.Replicas = replicas(p.Leader, t.ReplicationFactor, info.Brokers)
		p.ISR = p.Replicas
		p.OfflineReplicas = []int32{}
	}
	return rt
}
