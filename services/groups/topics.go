package groups

import (
	"iter"

	"kanal/libs/cluster"
	"kanal/services/groups/internal/assignor"
)

// topics are the cluster's topics as consumer groups see them: with the internal
// one, which regular expressions match as in Kafka.
type topics struct{ reg *cluster.Registry }

func (t topics) Revision() uint64 { return t.reg.Revision() }

func (t topics) Topic(name string) (id assignor.TopicID, partitions int32, ok bool) {
	topic := t.reg.Topic(name)
	if name == cluster.OffsetsTopicName {
		topic = t.reg.OffsetsTopic()
	}
	if topic == nil {
		return id, 0, false
	}
	return topic.ID, topic.Partitions, true
}

func (t topics) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		if t.reg.OffsetsTopic() != nil && !yield(cluster.OffsetsTopicName) {
			return
		}
		for _, topic := range t.reg.Topics() {
			if !yield(topic.Name) {
				return
			}
		}
	}
}
