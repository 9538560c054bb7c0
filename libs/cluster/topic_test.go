package cluster

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample() *Topic {
	return &Topic{
		Name: "orders.v1", ID: [16]byte{1, 2, 3}, Partitions: 6, Logs: 4, ReplicationFactor: 3, StreamReplicas: 1,
		Configs: map[string]string{"retention.ms": "1000"}, Created: time.Unix(1700000000, 5).UTC(), Revision: 7,
	}
}

func TestTopicSurvivesItsEntry(t *testing.T) {
	want := sample()
	value, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeTopic(topicKey(want.Name), value, 7)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWrongEntriesAreRefused(t *testing.T) {
	value, _ := sample().encode()
	for what, change := range map[string][2]string{
		"newer version":       {`"version":1`, `"version":2`},
		"another name":        {`"orders.v1"`, `"orders.v2"`},
		"no logs":             {`"logs":4`, `"logs":0`},
		"more logs than that": {`"logs":4`, `"logs":7`},
		"no partitions":       {`"partitions":6`, `"partitions":0`},
		"replication 0":       {`"replicationFactor":3`, `"replicationFactor":0`},
		"broken id":           {`"id":"AQID`, `"id":"AQI`},
		"zero id":             {`"id":"AQID`, `"id":"AAAA`},
		"not JSON":            {`{`, `[`},
	} {
		changed := strings.Replace(string(value), change[0], change[1], 1)
		if changed == string(value) {
			t.Fatalf("%s: nothing to replace in %s", what, value)
		}
		if _, err := decodeTopic("topic.orders=v1", []byte(changed), 1); !errors.Is(err, ErrInvalidEntry) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestLogOf(t *testing.T) {
	topic := sample()
	for p, want := range []int32{0, 1, 2, 3, 0, 1} {
		if got := topic.LogOf(int32(p)); got != want {
			t.Errorf("partition %d is in log %d, want %d", p, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	seen := make(map[ID]bool)
	for range 5000 {
		id := NewID()
		s := id.String()
		if len(s) != 22 || s[0] == '-' || seen[id] || id.IsZero() {
			t.Fatalf("id %q", s)
		}
		seen[id] = true
		if back, err := ParseID(s); err != nil || back != id {
			t.Fatalf("%q is read as %v, %v", s, back, err)
		}
	}
	for _, s := range []string{"", "AAAA", strings.Repeat("A", 23), strings.Repeat("!", 22), strings.Repeat("A", 21) + "B"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q is an id", s)
		}
	}
}

// FuzzEntries puts anything under any key: the snapshot must stay one that
// handlers can use without looking.
func FuzzEntries(f *testing.F) {
	value, _ := sample().encode()
	f.Add("topic.orders=v1", value)
	f.Add("topic.orders=v1", []byte(strings.ReplaceAll(string(value), `4`, `0`)))
	f.Add("cluster", []byte(`{"version":1,"clusterId":"AQIDAAAAAAAAAAAAAAAAAA","brokers":3,"coordinationLogs":8,"leaderEpoch":0}`))
	f.Add("versions.records", []byte(`{"version":1,"apis":{"0":{"min":0,"max":13}}}`))
	f.Add("producer-ids", []byte(`{"version":1,"next":1000}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		b := newBuilder(&snapshot{})
		err := b.put(key, value, 1)
		s := b.snapshot()
		for _, topic := range s.sorted {
			if err := topic.validate(); err != nil || topicKey(topic.Name) != key {
				t.Errorf("key %q: topic %+v: %v", key, topic, err)
			}
			again, _ := topic.encode()
			if back, err := decodeTopic(key, again, 1); err != nil || back.ID != topic.ID {
				t.Errorf("%s is not read again: %v", again, err)
			}
		}
		if i := s.info; i != (Info{}) && (i.Brokers < 1 || i.CoordinationLogs < 1 || len(i.ClusterID) != 22) {
			t.Errorf("cluster %+v", i)
		}
		if err != nil && (len(s.sorted) != 0 || s.info != Info{}) {
			t.Errorf("refused with %v, applied all the same", err)
		}
		if e, err := decodeProducerIDs(value); err == nil && (e.Next < 0 || e.Next+producerBlock < e.Next) {
			t.Errorf("producer ids %+v", e)
		}
	})
}
