package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kversion"

	"kanal/libs/handler"
	"kanal/libs/protocol"
)

// Ceilings are Kafka 4.1's; floors are 0, which old clients still send.
func TestVersions(t *testing.T) {
	mux := handler.NewMux()
	New(Settings{}, nil, nil, nil).Register(mux)
	ranges := mux.Ranges()
	release := kversion.V4_1_0()
	for _, key := range []protocol.APIKey{
		protocol.Metadata, protocol.CreateTopics, protocol.DeleteTopics, protocol.DescribeConfigs, protocol.CreatePartitions, protocol.DescribeCluster,
		protocol.AlterConfigs, protocol.IncrementalAlterConfigs, protocol.ElectLeaders, protocol.AlterPartitionReassignments, protocol.ListPartitionReassignments,
		protocol.DescribeTopicPartitions,
	} {
		newest, ok := release.LookupMaxKeyVersion(int16(key))
		if got := ranges[key]; !ok || got.Min != 0 || got.Max != newest {
			t.Errorf("%s is answered at %d to %d, want 0 to %d", key, got.Min, got.Max, newest)
		}
		delete(ranges, key)
	}
	if len(ranges) != 0 {
		t.Errorf("answered and not expected: %v", ranges)
	}
}
