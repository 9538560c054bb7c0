// Package markers tells the partitions of a transaction how it ended. Its Kafka
// counterparts are TransactionMarkerChannelManager and
// TransactionMarkerRequestCompletionHandler.
package markers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/services/groups/internal/transaction"
)

// Asker asks other instances (handler.Asker).
type Asker interface {
	Ask(ctx context.Context, service string, broker int32, q kmsg.Request) (kmsg.Response, error)
}

// Cluster is where partitions are.
type Cluster interface {
	Topic(name string) *cluster.Topic
	Leader(name string, index int32) int32
	CoordinationLeader(index int32) int32
	CatchUp(ctx context.Context) error
}

// Writer has markers written.
type Writer struct {
	Ask     Asker
	Cluster Cluster
	Log     *slog.Logger
	// Pause is the time between tries.
	Pause time.Duration
}

// holder is who writes a marker: the holder of a broker in a service.
type holder struct {
	service string
	broker  int32
}

// Write returns when the markers of a decided transaction stand at all its
// partitions, or ctx has ended. It tries for as long as it takes: a partition
// without its marker holds back everybody who reads only what is committed.
func (w *Writer) Write(ctx context.Context, id string, t *transaction.Transaction) error {
	left := t.Sorted()
	for tries := 1; ; tries++ {
		if left = w.writeOnce(ctx, t, left); len(left) == 0 {
			return nil
		}
		if tries%100 == 0 {
			w.Log.Warn("markers of a transaction are not written yet; trying again", "transactional_id", id, "partitions", len(left), "first", left[0].Topic)
		}
		select {
		case <-time.After(w.Pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeOnce asks every holder once and gives what is left.
func (w *Writer) writeOnce(ctx context.Context, t *transaction.Transaction, partitions []transaction.Partition) (left []transaction.Partition) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for h, own := range w.sort(ctx, partitions) {
		asking.Go(func() {
			rest := w.ask(ctx, h, t, own)
			mu.Lock()
			defer mu.Unlock()
			left = append(left, rest...)
		})
	}
	asking.Wait()
	return left
}

// sort gives each holder its partitions, without those of deleted topics.
func (w *Writer) sort(ctx context.Context, partitions []transaction.Partition) map[holder][]transaction.Partition {
	out := make(map[holder][]transaction.Partition)
	for _, p := range partitions {
		if h, ok := w.holder(ctx, p); ok {
			out[h] = append(out[h], p)
		}
	}
	return out
}

func (w *Writer) holder(ctx context.Context, p transaction.Partition) (holder, bool) {
	if p.Topic == cluster.OffsetsTopicName {
		return holder{"groups", w.Cluster.CoordinationLeader(p.Partition)}, true
	}
	topic := w.Cluster.Topic(p.Topic)
	if topic == nil && w.Cluster.CatchUp(ctx) == nil {
		if topic = w.Cluster.Topic(p.Topic); topic == nil {
			return holder{}, false // deleted, and its transactions with it
		}
	}
	if topic == nil {
		return holder{"records", 1}, true // not known now; whoever is asked says what he knows
	}
	return holder{"records", w.Cluster.Leader(topic.Name, topic.LogOf(p.Partition))}, topic.ID == p.TopicID
}

// ask has one holder write markers and gives the partitions that are left.
func (w *Writer) ask(ctx context.Context, h holder, t *transaction.Transaction, partitions []transaction.Partition) (left []transaction.Partition) {
	answer, err := w.Ask.Ask(ctx, h.service, h.broker, request(t, partitions))
	if err != nil {
		w.Log.Debug("markers not written", "service", h.service, "broker", h.broker, "err", err)
		return partitions
	}
	done := standing(answer.(*kmsg.WriteTxnMarkersResponse))
	for _, p := range partitions {
		if !done[transaction.Partition{Topic: p.Topic, Partition: p.Partition}] {
			left = append(left, p)
		}
	}
	return left
}

// request is the markers of some partitions. The number of the transaction
// stands where Kafka has the coordinator's epoch: a marker that comes late meets
// no other transaction.
func request(t *transaction.Transaction, partitions []transaction.Partition) *kmsg.WriteTxnMarkersRequest {
	q := kmsg.NewPtrWriteTxnMarkersRequest()
	q.Version = 1
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = t.ProducerID, t.Epoch, t.State == transaction.PrepareCommit, int32(t.Number)
	for _, p := range partitions {
		if n := len(m.Topics); n == 0 || m.Topics[n-1].Topic != p.Topic {
			m.Topics = append(m.Topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: p.Topic})
		}
		last := &m.Topics[len(m.Topics)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	q.Markers = append(q.Markers, m)
	return q
}

// standing are the partitions that need no marker any more.
func standing(r *kmsg.WriteTxnMarkersResponse) map[transaction.Partition]bool {
	out := make(map[transaction.Partition]bool)
	for _, m := range r.Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				switch kerr.ErrorForCode(p.ErrorCode) {
				case nil, kerr.InvalidProducerEpoch, kerr.TransactionCoordinatorFenced: // the latter: a newer one was here
					out[transaction.Partition{Topic: t.Topic, Partition: p.Partition}] = true
				}
			}
		}
	}
	return out
}
