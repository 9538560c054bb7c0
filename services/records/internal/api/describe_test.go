package api

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

func TestDescribeLogDirs(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	size := int64(0)
	for _, p := range []int32{0, 0, 1} { // log 0 has partitions 0 and 2, log 1 has 1 and 3
		b := batchOf(t, -1, -1, make([]byte, 100), nil)
		size = int64(len(b))
		resp, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{p: b}), 9))
		wantCodes(t, resp, err, map[int32]*kerr.Error{p: nil})
	}
	for name, c := range map[string]struct {
		broker int32
		asked  map[string][]int32
		want   map[int32]int64
	}{
		"of broker 1":         {1, nil, map[int32]int64{0: 2 * size, 2: 0}},
		"of broker 2":         {2, nil, map[int32]int64{1: size, 3: 0}},
		"of no broker":        {0, nil, map[int32]int64{0: 2 * size, 1: size, 2: 0, 3: 0}},
		"some":                {1, map[string][]int32{"t": {0, 1}, "u": {0}}, map[int32]int64{0: 2 * size}},
		"none":                {1, map[string][]int32{}, map[int32]int64{}},
		"what does not exist": {1, map[string][]int32{"t": {9}}, map[int32]int64{}},
	} {
		t.Run(name, func(t *testing.T) {
			q := kmsg.NewPtrDescribeLogDirsRequest()
			if c.asked != nil {
				q.Topics = []kmsg.DescribeLogDirsRequestTopic{}
			}
			for topic, partitions := range c.asked {
				q.Topics = append(q.Topics, kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: partitions})
			}
			r := request(q, 4)
			r.Broker = c.broker
			resp, err := w.api.describeLogDirs(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			dirs := resp.(*kmsg.DescribeLogDirsResponse).Dirs
			if len(dirs) != 1 || dirs[0].TotalBytes != 100 || dirs[0].UsableBytes != 40 || dirs[0].Dir != "jetstream" {
				t.Fatalf("dirs %+v", dirs)
			}
			got := map[int32]int64{}
			for _, topic := range dirs[0].Topics {
				for _, p := range topic.Partitions {
					got[p.Partition] = p.Size
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			for p, size := range c.want {
				if got[p] != size {
					t.Errorf("partition %d has %d bytes, want %d", p, got[p], size)
				}
			}
		})
	}
	w.hold(2, "there")
	r := request(kmsg.NewPtrDescribeLogDirsRequest(), 4)
	r.Broker = 2
	if _, err := w.api.describeLogDirs(ctx, r); err == nil || !errors.Is(err, handler.Redirect("there")) {
		t.Errorf("held there: %v", err)
	}
}

func TestDescribeProducers(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for id, sequence := range map[int64]int32{7: 0, 9: 5} {
		resp, err := w.api.produce(ctx, request(produceRequest(-1, map[int32][]byte{0: batchOf(t, id, sequence, nil, nil)}), 9))
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil})
	}
	q := kmsg.NewPtrDescribeProducersRequest()
	q.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 2, 9}}}
	resp, err := w.api.describeProducers(ctx, request(q, 0))
	if err != nil {
		t.Fatal(err)
	}
	ps := resp.(*kmsg.DescribeProducersResponse).Topics[0].Partitions
	if a := ps[0].ActiveProducers; len(a) != 2 || a[0].ProducerID != 7 || a[0].LastSequence != 0 || a[1].ProducerID != 9 || a[1].LastSequence != 5 ||
		a[0].LastTimestamp < 1 || a[0].CurrentTxnStartOffset != -1 || a[0].CoordinatorEpoch != -1 {
		t.Errorf("producers %+v", a)
	}
	if ps[1].ErrorCode != 0 || len(ps[1].ActiveProducers) != 0 {
		t.Errorf("a partition without producers: %+v", ps[1])
	}
	if ps[2].ErrorCode != kerr.UnknownTopicOrPartition.Code || ps[2].ErrorMessage == nil {
		t.Errorf("a partition that is not there: %+v", ps[2])
	}
}
