package api

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func deleteRequest(offsets map[int32]int64) *kmsg.DeleteRecordsRequest {
	q := kmsg.NewPtrDeleteRecordsRequest()
	qt := kmsg.NewDeleteRecordsRequestTopic()
	qt.Topic = "t"
	for p := int32(0); p < 10; p++ {
		if o, ok := offsets[p]; ok {
			qp := kmsg.NewDeleteRecordsRequestTopicPartition()
			qp.Partition, qp.Offset = p, o
			qt.Partitions = append(qt.Partitions, qp)
		}
	}
	q.Topics = append(q.Topics, qt)
	return q
}

func TestDeleteRecords(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for range 3 {
		resp, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil), 1: batchOf(t, -1, -1, nil, nil)}), 9))
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil, 1: nil})
	}
	resp, err := w.api.deleteRecords(ctx, request(deleteRequest(map[int32]int64{0: 2, 1: -1, 2: 1, 3: 0, 9: 0}), 2))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int32]struct {
		low  int64
		code *kerr.Error
	}{0: {2, nil}, 1: {3, nil}, 2: {-1, kerr.OffsetOutOfRange}, 3: {0, nil}, 9: {-1, kerr.UnknownTopicOrPartition}}
	for _, p := range resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions {
		if e := want[p.Partition]; p.LowWatermark != e.low || kerr.TypedErrorForCode(p.ErrorCode) != e.code {
			t.Errorf("partition %d: low watermark %d, code %d", p.Partition, p.LowWatermark, p.ErrorCode)
		}
	}
	fetched, err := w.api.fetch(ctx, request(fetchRequest(map[int32]int64{0: 1, 1: 3}, nil), 12))
	wantCodes(t, fetched, err, map[int32]*kerr.Error{0: kerr.OffsetOutOfRange, 1: nil})
	for _, p := range fetched.(*kmsg.FetchResponse).Topics[0].Partitions {
		if want := map[int32]int64{0: 2, 1: 3}[p.Partition]; p.LogStartOffset != want {
			t.Errorf("partition %d: fetch says that the log starts at %d", p.Partition, p.LogStartOffset)
		}
	}
	produced, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil)}), 9))
	if err != nil || produced.(*kmsg.ProduceResponse).Topics[0].Partitions[0].LogStartOffset != 2 {
		t.Errorf("produce says %+v, %v", produced, err)
	}
	w.topic.Configs["cleanup.policy"] = "compact"
	resp, err = w.api.deleteRecords(ctx, request(deleteRequest(map[int32]int64{0: 2}), 0))
	if err != nil || resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode != kerr.PolicyViolation.Code {
		t.Errorf("of a topic that is compacted: %+v, %v", resp, err)
	}
}
