package suite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
)

// described is what Metadata says now of these topics, or of all; kadm's own
// listing may come from the client's cache. Topics with an error are left out.
func described(t *testing.T, cl *kgo.Client, names ...string) map[string]kmsg.MetadataResponseTopic {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(limited(t, 30*time.Second), cl)
	if err != nil {
		t.Fatalf("ask for metadata: %v", err)
	}
	out := map[string]kmsg.MetadataResponseTopic{}
	for _, topic := range resp.Topics {
		if topic.ErrorCode == 0 && topic.Topic != nil {
			out[*topic.Topic] = topic
		}
	}
	return out
}

// newTopic creates a topic with a name of its own. Configs are name, value, ...
func newTopic(t *testing.T, on target, partitions int32, configs ...string) string {
	t.Helper()
	cl := newClient(t, on)
	name := newName(t)
	values := map[string]*string{}
	for i := 0; i+1 < len(configs); i += 2 {
		values[configs[i]] = kadm.StringPtr(configs[i+1])
	}
	r, err := kadm.NewClient(cl).CreateTopic(limited(t, 30*time.Second), partitions, 1, values, name)
	// A request that was given to another instance, whose first one died after
	// it had made the topic.
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Fatalf("create topic %s: %v %s", name, err, r.ErrMessage)
	}
	waitListed(t, cl, on, name, int(partitions))
	return name
}

// waitListed waits until a topic is listed with all its partitions wherever one
// asks: what created it may know of it a moment before others do, as in Kafka.
func waitListed(t *testing.T, cl *kgo.Client, on target, name string, partitions int) {
	t.Helper()
	inARow := 0
	process.Poll(t, 30*time.Second, "topic "+name+" is listed", func() error {
		if got := len(described(t, cl, name)[name].Partitions); got != partitions {
			inARow = 0
			return fmt.Errorf("with %d partitions of %d", got, partitions)
		}
		if inARow++; inARow < 4*on.brokers {
			return errors.New("not everywhere yet")
		}
		return nil
	})
}
