package control

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
)

// TestLostAnswersAreAskedForAgain opens a cluster through a JetStream that does
// not answer its first requests, as a nats-server does that has just started.
func TestLostAnswersAreAskedForAgain(t *testing.T) {
	nc, _ := connect(t, startNATS(t))
	const lost = 2
	var asked atomic.Int64
	// What comes below lossy. goes on to JetStream, with its reply subject.
	_, err := nc.Subscribe("lossy.>", func(m *nats.Msg) {
		if asked.Add(1) <= lost {
			return
		}
		to := strings.TrimPrefix(m.Subject, "lossy.")
		if !strings.HasPrefix(to, "$KV.") {
			to = "$JS.API." + to
		}
		if err := nc.PublishMsg(&nats.Msg{Subject: to, Reply: m.Reply, Header: m.Header, Data: m.Data}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "lossy")
	if err != nil {
		t.Fatal(err)
	}
	r, err := cluster.Open(testContext(t), js, cluster.Config{Cluster: "test", Brokers: 1}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := asked.Load(); got <= lost {
		t.Fatalf("JetStream was asked %d times, and %d answers were to be lost", got, lost)
	}
}
