package session

import (
	"container/list"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Key names a partition as the client does: by the topic's name, or from version 13 on by its id.
type Key struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
}

// Partition is what a client wants of one.
type Partition struct {
	Key
	Offset      int64
	MaxBytes    int32
	LeaderEpoch int32 // current leader epoch, as the client knows it
}

// session is guarded by the cache's mu.
type session struct {
	id, epoch  int32 // epoch of the next request
	byID       bool
	partitions map[Key]*list.Element
	order      list.List // of *entry: the next answer's order
	usedAt     time.Time
	place      *list.Element
}

// entry is a partition of a session and what the client was told of it last.
type entry struct {
	Partition
	highWatermark, logStart int64
}

// unknown is told to nobody, so that the next answer has the partition whatever it says.
const unknown = -1

func newSession(f *Fetch) *session {
	s := &session{epoch: following(initialEpoch), byID: f.byID, partitions: make(map[Key]*list.Element, len(f.Partitions))}
	for _, p := range f.Partitions {
		s.put(p)
	}
	return s
}

// put adds a partition, or changes what is wanted of it.
func (s *session) put(p Partition) {
	if e := s.partitions[p.Key]; e != nil {
		e.Value.(*entry).Partition = p
		return
	}
	s.partitions[p.Key] = s.order.PushBack(&entry{p, unknown, unknown})
}

// update takes in what an incremental request changes.
func (s *session) update(q *kmsg.FetchRequest) {
	for _, p := range asked(q) {
		s.put(p)
	}
	for i := range q.ForgottenTopics {
		t := &q.ForgottenTopics[i]
		for _, number := range t.Partitions {
			k := Key{t.Topic, t.TopicID, number}
			if e := s.partitions[k]; e != nil {
				s.order.Remove(e)
				delete(s.partitions, k)
			}
		}
	}
}

// list is the session's partitions in their order.
func (s *session) list() []Partition {
	all := make([]Partition, 0, len(s.partitions))
	for e := s.order.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*entry).Partition)
	}
	return all
}

// told notes an answer for a partition and says whether the client has to hear it. Partitions with records go to the end of the order:
// where an answer cannot have all, the others come first the next time.
func (s *session) told(k Key, out *kmsg.FetchResponseTopicPartition) bool {
	place := s.partitions[k]
	if place == nil { // forgotten meanwhile
		return false
	}
	e := place.Value.(*entry)
	news := len(out.RecordBatches) > 0 || out.ErrorCode != 0 || out.HighWatermark != e.highWatermark || out.LogStartOffset != e.logStart
	e.highWatermark, e.logStart = out.HighWatermark, out.LogStartOffset
	if out.ErrorCode != 0 {
		e.highWatermark = unknown // when the error goes away, the client hears that too
	}
	if len(out.RecordBatches) > 0 {
		s.order.MoveToBack(place)
	}
	return news
}

// asked lists the partitions that a request names.
func asked(q *kmsg.FetchRequest) []Partition {
	var all []Partition
	for i := range q.Topics {
		t := &q.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			all = append(all, Partition{Key{t.Topic, t.TopicID, p.Partition}, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch})
		}
	}
	return all
}
