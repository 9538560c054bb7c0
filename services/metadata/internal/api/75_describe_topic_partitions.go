package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
)

// mostPartitions bounds one answer (max.request.partition.size.limit).
const mostPartitions = 2000

// DescribeTopicPartitions, version 0 (KIP-966): Metadata's topics page by page, in the order of their names.
//
// An empty list asks for all topics. Where an answer is full, its cursor says where the next one goes on. There are no eligible leader
// replicas to tell of: whoever leads has everything.
func (a *API) describeTopicPartitions(_ context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DescribeTopicPartitionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	names := a.describedNames(req)
	if c := req.Cursor; c != nil && (c.Partition < 0 || len(req.Topics) > 0 && !slices.Contains(names, c.Topic)) {
		return refusePage(resp, names), nil
	}
	described := make(map[string]*cluster.Topic, len(names)) // once, so that a page does not change while it is made
	for _, name := range names {
		described[name] = a.known(name)
	}
	count := func(name string) int32 {
		if t := described[name]; t != nil {
			return t.Partitions
		}
		return 0
	}
	spans, next := paginate(names, count, req.Cursor, max(1, min(req.ResponsePartitionLimit, mostPartitions)))
	for _, s := range spans {
		if t := described[s.topic]; t != nil {
			resp.Topics = append(resp.Topics, a.describeSpan(t, s))
		} else {
			resp.Topics = append(resp.Topics, missingPartitions(s.topic, missingCode(s.topic)))
		}
	}
	resp.NextCursor = next
	return resp, nil
}

// describedNames are the topics asked for, sorted, each once; all of them for an empty list.
func (a *API) describedNames(req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range a.reg.Topics() {
			names = append(names, t.Name)
		}
		if t := a.reg.OffsetsTopic(); t != nil {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// span is some partitions of a topic: from one up to the one before end.
type span struct {
	topic     string
	from, end int32
}

// paginate chooses what one answer has: of the topics, from the cursor on, so many partitions as the limit allows; count is 0 for a
// topic that does not exist, which is told of and costs nothing. next is where to go on, nil if that was all.
func paginate(names []string, count func(string) int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, limit int32) (spans []span, next *kmsg.DescribeTopicPartitionsResponseNextCursor) {
	for _, name := range names {
		s := span{topic: name, end: count(name)}
		if cursor != nil && name < cursor.Topic {
			continue
		}
		if cursor != nil && name == cursor.Topic {
			s.from = min(cursor.Partition, s.end)
		}
		if limit == 0 {
			return spans, cursorAt(name, s.from)
		}
		all := s.end
		s.end = min(s.end, s.from+limit)
		limit -= s.end - s.from
		spans = append(spans, s)
		if s.end < all {
			return spans, cursorAt(name, s.end)
		}
	}
	return spans, nil
}

func cursorAt(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

// describeSpan describes some partitions of a topic.
func (a *API) describeSpan(t *cluster.Topic, s span) kmsg.DescribeTopicPartitionsResponseTopic {
	info := a.reg.Info()
	rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = &t.Name, t.ID, t.Name == cluster.OffsetsTopicName
	rt.AuthorizedOperations = topicOperations
	for number := s.from; number < s.end; number++ {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch = number, a.leader(t, number), info.LeaderEpoch
		p.Replicas = replicas(p.LeaderID, t.ReplicationFactor, info.Brokers)
		p.ISR, p.OfflineReplicas = p.Replicas, []int32{}
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{}
		rt.Partitions = append(rt.Partitions, p)
	}
	return rt
}

func missingCode(name string) *kerr.Error {
	if cluster.ValidateTopicName(name) != nil {
		return kerr.InvalidTopicException
	}
	return kerr.UnknownTopicOrPartition
}

func missingPartitions(name string, e *kerr.Error) kmsg.DescribeTopicPartitionsResponseTopic {
	rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
	rt.Topic, rt.ErrorCode = &name, e.Code
	rt.Partitions = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
	return rt
}

// refusePage answers a cursor that cannot be. The response has no place for an error of its own, so every topic has it, as in Kafka.
func refusePage(resp *kmsg.DescribeTopicPartitionsResponse, names []string) kmsg.Response {
	for _, name := range names {
		resp.Topics = append(resp.Topics, missingPartitions(name, kerr.InvalidRequest))
	}
	return resp
}
