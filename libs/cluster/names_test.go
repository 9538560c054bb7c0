package cluster

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestValidateTopicName(t *testing.T) {
	good := []string{"a", "A-b_c.d", "...", "a..b", ".a", "a.", "-", strings.Repeat("x", 249)}
	for _, name := range good {
		if err := ValidateTopicName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := []string{"", ".", "..", "a b", "a/b", "a=b", "é", "a*", "a>", "\x00", strings.Repeat("x", 250), "a\n"}
	for _, name := range bad {
		if ValidateTopicName(name) == nil {
			t.Errorf("%q passed", name)
		}
	}
}

// What NATS accepts: keys as in nats.go's KV (no dot at an end, none beside
// another), stream names free of separators and wildcards, 255 bytes at most.
var (
	legalKey    = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)
	legalStream = regexp.MustCompile(`^[-_a-zA-Z0-9]{1,255}$`)
)

func TestEveryTopicNameHasLegalKeyAndStreams(t *testing.T) {
	const chars = "..__--abzAZ09"
	rng := rand.New(rand.NewPCG(1, 2))
	seen := make(map[string]string)
	for range 20_000 {
		b := make([]byte, 1+rng.IntN(6))
		if rng.IntN(10) == 0 {
			b = make([]byte, 1+rng.IntN(249))
		}
		for i := range b {
			b[i] = chars[rng.IntN(len(chars))]
		}
		name := string(b)
		if ValidateTopicName(name) != nil {
			continue
		}
		key := topicKey(name)
		if !legalKey.MatchString(key) {
			t.Fatalf("topic %q has key %q", name, key)
		}
		if back, ok := topicOfKey(key); !ok || back != name {
			t.Fatalf("key %q is read as topic %q", key, back)
		}
		if other, ok := seen[key]; ok && other != name {
			t.Fatalf("topics %q and %q share key %q", name, other, key)
		}
		seen[key] = name
		topic := &Topic{Name: name, ID: NewID(), Partitions: 4, Logs: 4}
		stream := topic.StreamName("my.cluster", 3)
		if !legalStream.MatchString(stream) {
			t.Fatalf("topic %q has stream %q", name, stream)
		}
		if id, ok := TopicOfStream("my.cluster", stream); !ok || id != topic.ID {
			t.Fatalf("stream %q is not recognized", stream)
		}
	}
}

func TestStreamNamesAreUnique(t *testing.T) {
	id, other := NewID(), NewID()
	names := make(map[string]bool)
	add := func(s string) {
		t.Helper()
		if names[s] {
			t.Errorf("%s is used twice", s)
		}
		names[s] = true
	}
	for _, cluster := range []string{"a", "a.b", "a_b", "a-b"} {
		for _, name := range []string{"x", "x.y", "x_y", "x-y"} {
			for _, id := range []ID{id, other} {
				for log := range int32(3) {
					add((&Topic{Name: name, ID: id, Logs: 3}).StreamName(cluster, log))
				}
			}
		}
		add(CoordinationStream(cluster, 0))
		add(CoordinationStream(cluster, 1))
		add(BucketName(cluster))
	}
}

func TestStreamsOfOthersAreNotTopics(t *testing.T) {
	for _, stream := range []string{
		"", "KV_kanal_c", CoordinationStream("c", 3), "kanal_c_x", "kanal_c_x_short_0",
		(&Topic{Name: "x", ID: NewID(), Logs: 1}).StreamName("other", 0),
	} {
		if id, ok := TopicOfStream("c", stream); ok {
			t.Errorf("%q is taken for a stream of topic %s", stream, ID(id))
		}
	}
}

func TestLeadersCoverTheBrokersEvenly(t *testing.T) {
	for _, brokers := range []int32{1, 2, 3, 7} {
		count := make(map[int32]int)
		for range 2000 {
			b := leader(NewID().String(), 0, brokers)
			if b < 1 || b > brokers {
				t.Fatalf("broker %d of %d", b, brokers)
			}
			count[b]++
		}
		for b, n := range count {
			if want := 2000 / int(brokers); n < want*8/10 || n > want*12/10 {
				t.Errorf("%d brokers: %d leads %d of 2000", brokers, b, n)
			}
		}
		for i := range brokers { // logs of one topic go round
			if a, b := leader("x", i, brokers), leader("x", i+1, brokers); a%brokers+1 != b {
				t.Errorf("%d brokers: log %d at %d, log %d at %d", brokers, i, a, i+1, b)
			}
		}
	}
}

// GroupLog is part of the stored format, so it may never change.
func TestGroupLogIsFixed(t *testing.T) {
	for id, want := range map[string]int32{"": 2, "a": 5, "my-group": 5, "console-consumer-1": 0} {
		if got := GroupLog(id, 8); got != want {
			t.Errorf("group %q is in log %d, was %d", id, got, want)
		}
	}
	count := make(map[int32]int)
	for range 8000 {
		count[GroupLog("group-"+NewID().String(), 8)]++
	}
	for log, n := range count {
		if n < 800 || n > 1200 {
			t.Errorf("log %d has %d of 8000 groups", log, n)
		}
	}
}

func TestCollide(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"a.b", "a_b", true}, {"a.b", "a.b", false}, {"a.b", "a-b", false}, {"_", ".", true}} {
		if Collide(c.a, c.b) != c.want {
			t.Errorf("%q and %q: want %v", c.a, c.b, c.want)
		}
	}
}
