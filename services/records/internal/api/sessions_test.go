package api

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchNow is a fetch that does not wait.
func fetchNow(t *testing.T, w *world, version int16, id, epoch int32, offsets map[int32]int64, forget ...int32) *kmsg.FetchResponse {
	t.Helper()
	q := fetchRequest(offsets, func(q *kmsg.FetchRequest) {
		q.SessionID, q.SessionEpoch = id, epoch
		if len(offsets) == 0 {
			q.Topics = nil
		}
		if len(forget) > 0 {
			q.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", Partitions: forget}}
		}
	})
	if version < 13 {
		for i := range q.Topics {
			q.Topics[i].TopicID = [16]byte{}
		}
	}
	resp, err := w.api.fetch(context.Background(), request(q, version))
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse)
}

func answered(r *kmsg.FetchResponse) []int32 {
	numbers := []int32{}
	for _, topic := range r.Topics {
		for _, p := range topic.Partitions {
			numbers = append(numbers, p.Partition)
		}
	}
	return numbers
}

func TestFetchSession(t *testing.T) {
	w := newWorld(t)
	produce := func(p int32) {
		t.Helper()
		resp, err := w.api.produce(context.Background(), request(produceRequest(-1, map[int32][]byte{p: batchOf(t, -1, -1, nil, nil)}), 9))
		wantCodes(t, resp, err, map[int32]*kerr.Error{p: nil})
	}
	produce(0)
	r := fetchNow(t, w, 12, 0, 0, map[int32]int64{0: 0, 1: 0, 2: 0})
	id := r.SessionID
	if got := answered(r); id == 0 || len(got) != 3 {
		t.Fatalf("session %d, partitions %v", id, got)
	}
	r = fetchNow(t, w, 12, id, 1, map[int32]int64{0: 1})
	if got := answered(r); r.SessionID != id || len(got) != 0 {
		t.Fatalf("nothing new: session %d, partitions %v", r.SessionID, got)
	}
	produce(1)
	r = fetchNow(t, w, 12, id, 2, nil)
	if got := answered(r); len(got) != 1 || got[0] != 1 || len(r.Topics[0].Partitions[0].RecordBatches) == 0 || r.Topics[0].Topic != "t" {
		t.Fatalf("one record: %+v", r)
	}
	r = fetchNow(t, w, 12, id, 2, nil)
	if r.ErrorCode != kerr.InvalidFetchSessionEpoch.Code || r.SessionID != 0 {
		t.Fatalf("an epoch again: %+v", r)
	}
	produce(2)
	r = fetchNow(t, w, 12, id, 3, map[int32]int64{1: 1, 9: 0}, 2)
	if got := answered(r); len(got) != 1 || got[0] != 9 {
		t.Fatalf("without partition 2, with one that is not there: %v", got)
	}
	r = fetchNow(t, w, 12, id, -1, map[int32]int64{0: 0})
	if got := answered(r); r.SessionID != 0 || len(got) != 1 {
		t.Fatalf("the end: %+v", r)
	}
	if r = fetchNow(t, w, 12, id, 4, nil); r.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Fatalf("after the end: %+v", r)
	}
}

// Who asks by an old epoch is told the leader and where it is.
func TestLeaderHints(t *testing.T) {
	w := newWorld(t)
	fetch := func(version int16) *kmsg.FetchResponse {
		r := request(fetchRequest(map[int32]int64{0: 0, 1: 0}, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[1].CurrentLeaderEpoch = 4 }), version)
		r.Listener = "inside"
		resp, err := w.api.fetch(context.Background(), r)
		wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil, 1: kerr.FencedLeaderEpoch})
		return resp.(*kmsg.FetchResponse)
	}
	r := fetch(16)
	if p := r.Topics[0].Partitions; p[0].CurrentLeader.LeaderID != -1 || p[1].CurrentLeader.LeaderID != 2 || p[1].CurrentLeader.LeaderEpoch != 5 {
		t.Errorf("leaders %+v, %+v", p[0].CurrentLeader, p[1].CurrentLeader)
	}
	if len(r.Brokers) != 1 || r.Brokers[0].NodeID != 2 || r.Brokers[0].Host != "inside" || r.Brokers[0].Port != 9001 {
		t.Errorf("endpoints %+v", r.Brokers)
	}
	if r = fetch(11); len(r.Brokers) != 0 || r.Topics[0].Partitions[1].CurrentLeader.LeaderID != -1 {
		t.Errorf("version 11: %+v", r)
	}
	w.hold(2, "there")
	resp, err := w.api.produce(context.Background(), request(produceRequest(-1, map[int32][]byte{0: batchOf(t, -1, -1, nil, nil), 1: batchOf(t, -1, -1, nil, nil)}), 10))
	wantCodes(t, resp, err, map[int32]*kerr.Error{0: nil, 1: kerr.NotLeaderForPartition})
	if p := resp.(*kmsg.ProduceResponse); p.Topics[0].Partitions[1].CurrentLeader.LeaderID != 2 || len(p.Brokers) != 1 || p.Brokers[0].NodeID != 2 {
		t.Errorf("produce: %+v", p)
	}
}
