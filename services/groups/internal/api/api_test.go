package api

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"kanal/libs/handler"
	"kanal/libs/protocol"
)

// Ceilings are Kafka 4.1's, floors what old clients need: librdkafka takes a
// broker without these first versions for one without consumer groups.
func TestVersions(t *testing.T) {
	mux := handler.NewMux()
	New(Settings{}, nil, nil, slog.New(slog.DiscardHandler)).Register(mux)
	ranges := mux.Ranges()
	release := kversion.V4_1_0()
	floors := map[protocol.APIKey]int16{protocol.OffsetCommit: 1, protocol.OffsetFetch: 1}
	for _, key := range []protocol.APIKey{
		protocol.OffsetCommit, protocol.OffsetFetch, protocol.FindCoordinator, protocol.JoinGroup, protocol.Heartbeat, protocol.LeaveGroup,
		protocol.SyncGroup, protocol.DescribeGroups, protocol.ListGroups, protocol.InitProducerId, protocol.DeleteGroups, protocol.OffsetDelete,
		protocol.ConsumerGroupHeartbeat, protocol.ConsumerGroupDescribe,
		protocol.AddPartitionsToTxn, protocol.AddOffsetsToTxn, protocol.EndTxn, protocol.TxnOffsetCommit, protocol.DescribeTransactions, protocol.ListTransactions,
	} {
		newest, ok := release.LookupMaxKeyVersion(int16(key))
		if got := ranges[key]; !ok || got.Max != newest || got.Min != floors[key] {
			t.Errorf("%s is answered at %d to %d, want %d to %d", key, got.Min, got.Max, floors[key], newest)
		}
		delete(ranges, key)
	}
	if len(ranges) != 0 {
		t.Errorf("answered and not expected: %v", ranges)
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		filter []string
		value  string
		want   bool
	}{{nil, "Stable", true}, {[]string{"stable"}, "Stable", true}, {[]string{"Empty", "Dead"}, "Stable", false}} {
		if got := wanted(c.filter, c.value); got != c.want {
			t.Errorf("%v lets %s through: %v", c.filter, c.value, got)
		}
	}
}

// An OffsetFetch of every version asks for the same.
func TestFetchedGroups(t *testing.T) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.SetVersion(7)
	req.Group = "g"
	if got := fetchedGroups(req); len(got) != 1 || got[0].Group != "g" || got[0].Topics != nil {
		t.Errorf("null topics: %+v", got)
	}
	req.Topics = []kmsg.OffsetFetchRequestTopic{}
	if got := fetchedGroups(req); got[0].Topics == nil || len(got[0].Topics) != 0 {
		t.Errorf("no topics: %+v", got)
	}
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{3}}}
	if got := fetchedGroups(req); got[0].Topics[0].Topic != "t" || got[0].Topics[0].Partitions[0] != 3 {
		t.Errorf("one topic: %+v", got)
	}
}
