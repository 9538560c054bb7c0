package api

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestOffsetForLeaderEpoch(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for _, epoch := range []int32{2, 2, 5} { // two records under epoch 2, one under 5
		w.epoch = epoch
		resp, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil)}), 9))
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	}
	w.epoch = 7
	for _, c := range []struct {
		partition, epoch, current int32
		code                      *kerr.Error
		wantEpoch                 int32
		wantEnd                   int64
	}{
		{0, 1, -1, nil, 1, 0}, {0, 8, -1, nil, -1, -1}, {2, 3, -1, nil, 3, 0}, {0, 2, -1, nil, 2, 2}, {0, 4, -1, nil, 2, 2}, {0, 5, 7, nil, 5, 3}, {0, 7, -1, nil, 7, 3}, {2, 7, -1, nil, 7, 0},
		{0, 5, 6, kerr.FencedLeaderEpoch, -1, -1}, {0, 5, 8, kerr.UnknownLeaderEpoch, -1, -1}, {9, 5, -1, kerr.UnknownTopicOrPartition, -1, -1},
	} {
		q := kmsg.NewPtrOffsetForLeaderEpochRequest()
		qt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		qp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		qp.Partition, qp.LeaderEpoch, qp.CurrentLeaderEpoch = c.partition, c.epoch, c.current
		qt.Topic, qt.Partitions = "t", append(qt.Partitions, qp)
		q.Topics = append(q.Topics, qt)
		resp, err := w.api.offsetForLeaderEpoch(ctx, request(q, 4))
		if err != nil {
			t.Fatal(err)
		}
		p := resp.(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		if kerr.TypedErrorForCode(p.ErrorCode) != c.code || p.LeaderEpoch != c.wantEpoch || p.EndOffset != c.wantEnd {
			t.Errorf("%+v: got %+v", c, p)
		}
	}
}
