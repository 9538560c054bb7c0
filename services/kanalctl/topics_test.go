package kanalctl

import (
	"strings"
	"testing"

	"kanal/libs/cluster"
)

func TestTopicsTable(t *testing.T) {
	id, err := cluster.ParseID("abcdefghijklmnopqrstuA")
	if err != nil {
		t.Fatal(err)
	}
	list := &Topics{Cluster: "kanal", ClusterID: "C", Topics: []Topic{
		{Name: "a", ID: id, Partitions: 16, Logs: 4, ReplicationFactor: 3, StreamReplicas: 1,
			Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}},
		{Name: "long-name", ID: id, Partitions: 1, Logs: 1, ReplicationFactor: 1, StreamReplicas: 1},
	}}
	want := strings.TrimPrefix(`
cluster kanal, id C: 2 topics

TOPIC      ID                      PARTITIONS  LOGS  REPLICATION    CONFIGS
a          abcdefghijklmnopqrstuA  16          4     3 (1 in NATS)  cleanup.policy=compact retention.ms=1000
long-name  abcdefghijklmnopqrstuA  1           1     1              -
`, "\n")
	if got := list.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := (&Topics{Cluster: "kanal", ClusterID: "C"}).text(); got != "cluster kanal, id C: 0 topics\n" {
		t.Errorf("of none: %q", got)
	}
}
