package markers

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/services/groups/internal/transaction"
)

// fake is a cluster of two topics and what it was asked. A partition's answers are taken in turn; the last one stays.
type fake struct {
	mu      sync.Mutex
	answers map[transaction.Partition][]int16
	asked   map[holder]int
	away    int // tries until somebody answers
}

func (f *fake) Topic(name string) *cluster.Topic {
	if name == "gone" {
		return nil
	}
	return &cluster.Topic{Name: name, ID: [16]byte{1}, Partitions: 4, Logs: 2}
}
func (f *fake) Leader(_ string, index int32) int32   { return index + 1 }
func (f *fake) CoordinationLeader(index int32) int32 { return index + 10 }
func (f *fake) CatchUp(context.Context) error        { return nil }
func (f *fake) of(p transaction.Partition) (code int16) {
	p.TopicID = [16]byte{}
	if all := f.answers[p]; len(all) > 0 {
		code = all[0]
		f.answers[p] = all[min(1, len(all)-1):]
	}
	return code
}

func (f *fake) Ask(_ context.Context, service string, broker int32, q kmsg.Request) (kmsg.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[holder{service, broker}]++
	if f.away > 0 {
		f.away--
		return nil, errors.New("nobody is there")
	}
	req := q.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for _, m := range req.Markers {
		rm := kmsg.NewWriteTxnMarkersResponseMarker()
		for _, t := range m.Topics {
			rt := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{
					Partition: p, ErrorCode: f.of(transaction.Partition{Topic: t.Topic, Partition: p}),
				})
			}
			rm.Topics = append(rm.Topics, rt)
		}
		resp.Markers = append(resp.Markers, rm)
	}
	return resp, nil
}

func ending(partitions ...transaction.Partition) *transaction.Transaction {
	t := &transaction.Transaction{ProducerID: 7, Epoch: 3, Number: 5, State: transaction.PrepareCommit, Partitions: map[transaction.Partition]struct{}{}}
	for _, p := range partitions {
		t.Partitions[p] = struct{}{}
	}
	return t
}

func in(topic string, partition int32) transaction.Partition {
	p := transaction.Partition{Topic: topic, Partition: partition}
	if topic != cluster.OffsetsTopicName {
		p.TopicID = [16]byte{1}
	}
	return p
}

func write(t *testing.T, f *fake, x *transaction.Transaction) {
	t.Helper()
	f.asked = map[holder]int{}
	w := &Writer{Ask: f, Cluster: f, Log: slog.New(slog.DiscardHandler), Pause: time.Microsecond}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Write(ctx, "id", x); err != nil {
		t.Fatal(err)
	}
}

func TestEveryHolderIsAskedOnce(t *testing.T) {
	f := &fake{}
	write(t, f, ending(in("t", 0), in("t", 1), in("t", 2), in("u", 0), in(cluster.OffsetsTopicName, 3)))
	want := map[holder]int{{"records", 1}: 1, {"records", 2}: 1, {"groups", 13}: 1}
	if !maps.Equal(f.asked, want) {
		t.Errorf("asked %v, want %v", f.asked, want)
	}
}

func TestOnlyWhatIsLeftIsAskedAgain(t *testing.T) {
	f := &fake{answers: map[transaction.Partition][]int16{
		{Topic: "t", Partition: 0}: {kerr.NotLeaderForPartition.Code, kerr.UnknownServerError.Code, 0},
	}}
	write(t, f, ending(in("t", 0), in("t", 1)))
	want := map[holder]int{{"records", 1}: 3, {"records", 2}: 1}
	if !maps.Equal(f.asked, want) {
		t.Errorf("asked %v, want %v", f.asked, want)
	}
}

func TestFencedAndDeletedPartitionsNeedNoMarker(t *testing.T) {
	f := &fake{answers: map[transaction.Partition][]int16{
		{Topic: "t", Partition: 0}: {kerr.InvalidProducerEpoch.Code},
		{Topic: "t", Partition: 1}: {kerr.TransactionCoordinatorFenced.Code},
	}}
	again := in("t", 2)
	again.TopicID = [16]byte{2} // deleted and made again
	write(t, f, ending(in("t", 0), in("t", 1), in("gone", 0), again))
	if want := (map[holder]int{{"records", 1}: 1, {"records", 2}: 1}); !maps.Equal(f.asked, want) {
		t.Errorf("asked %v, want %v", f.asked, want)
	}
}

func TestNobodyThere(t *testing.T) {
	f := &fake{away: 5}
	write(t, f, ending(in("t", 0)))
	if f.asked[holder{"records", 1}] != 6 {
		t.Errorf("asked %v", f.asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &Writer{Ask: &fake{away: 1 << 30, asked: map[holder]int{}}, Cluster: f, Log: slog.New(slog.DiscardHandler), Pause: time.Hour}
	if err := w.Write(ctx, "id", ending(in("t", 0))); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
