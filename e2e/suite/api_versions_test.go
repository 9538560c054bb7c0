package suite

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"kanal/libs/protocol"
)

// floors are the oldest versions that clients still use (the comfortable set of
// the client survey): what a client that has them must find offered.
var floors = map[protocol.APIKey]int16{
	protocol.Produce: 0, protocol.Fetch: 4, protocol.ListOffsets: 1, protocol.Metadata: 0,
	protocol.OffsetCommit: 2, protocol.OffsetFetch: 1, protocol.FindCoordinator: 0,
	protocol.JoinGroup: 0, protocol.Heartbeat: 0, protocol.LeaveGroup: 0, protocol.SyncGroup: 0,
	protocol.ApiVersions: 0, protocol.CreateTopics: 0, protocol.DeleteTopics: 0, protocol.InitProducerId: 0,
	protocol.OffsetForLeaderEpoch: 2, protocol.DescribeConfigs: 0, protocol.CreatePartitions: 0, protocol.DescribeCluster: 0,
}

// apiVersions holds what a running Kanal offers against one Kafka release and
// against the survey: nothing lacking, and nothing that the release has not.
func apiVersions(t *testing.T, on target) {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(limited(t, 30*time.Second), newClient(t, on))
	if err != nil || resp.ErrorCode != 0 {
		t.Fatalf("ApiVersions: %+v, %v", resp, err)
	}
	release, offered := kversion.V4_1_0(), map[protocol.APIKey]bool{}
	for _, k := range resp.ApiKeys {
		key := protocol.APIKey(k.ApiKey)
		offered[key] = true
		ceiling, ok := release.LookupMaxKeyVersion(k.ApiKey)
		if key == protocol.ApiVersions {
			ceiling = 5 // KIP-1242; older clients ask for 4 and find it
		}
		if !ok || k.MaxVersion != ceiling {
			t.Errorf("%s is offered up to version %d; Kafka 4.1 has %d (%t)", key, k.MaxVersion, ceiling, ok)
		}
		if floor, ok := floors[key]; ok && k.MinVersion > floor {
			t.Errorf("%s is offered from version %d, clients need %d", key, k.MinVersion, floor)
		}
		if k.MinVersion < 0 || k.MinVersion > k.MaxVersion {
			t.Errorf("%s is offered from version %d to %d", key, k.MinVersion, k.MaxVersion)
		}
	}
	for key := range floors {
		if !offered[key] {
			t.Errorf("%s is not offered", key)
		}
	}
}
