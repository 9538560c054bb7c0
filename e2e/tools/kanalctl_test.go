package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/services/kanalctl"
)

var subjects = requestchannel.Subjects{Prefix: "kanal", Cluster: "tools"}

// instances announce themselves as the real ones do.
type instances struct {
	nc *nats.Conn

	mu       sync.Mutex
	number   uint64
	frontEnd requestchannel.FrontEnd
	handlers []requestchannel.Handler
}

func announce(t *testing.T, nc *nats.Conn) *instances {
	i := &instances{nc: nc}
	apis := protocol.Ranges{protocol.Produce: {Min: 0, Max: 13}}
	i.frontEnd = requestchannel.FrontEnd{Version: 1, ID: "F", Release: "0.1.0", State: "ready",
		Addresses: map[string]requestchannel.Address{"PLAINTEXT": {Host: "localhost", Port: 9092, Brokers: 3}}}
	for _, id := range []string{"R1", "R2"} {
		i.handlers = append(i.handlers, requestchannel.Handler{Version: 1, ID: id, Service: "records", Release: "0.1.0",
			State: "ready", Affinity: requestchannel.AffinityByBroker, APIs: apis, Window: 100, FrontEnds: 2})
	}
	i.handlers = append(i.handlers, requestchannel.Handler{Version: 1, ID: "E", Service: "echo", State: "ready", Window: 7})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(requestchannel.AnnouncementInterval)
		defer tick.Stop()
		for {
			i.publish(t)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return i
}

func (i *instances) publish(t *testing.T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.number++
	i.frontEnd.Number = i.number
	say := func(subject string, what any) {
		b, err := json.Marshal(what)
		if err == nil {
			err = i.nc.Publish(subject, b)
		}
		if err != nil {
			t.Error(err)
		}
	}
	say(subjects.FrontEnds(), i.frontEnd)
	for n := range i.handlers {
		i.handlers[n].Number = i.number
		say(subjects.Handlers(), i.handlers[n])
	}
}

func (i *instances) drain(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.handlers {
		if i.handlers[n].ID == id {
			i.handlers[n].State = "draining"
		}
	}
}

func kanalctlSays(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := kanalctl.Run(limited(t), args, &out); err != nil {
		t.Fatalf("kanalctl %v: %v", args, err)
	}
	return out.String()
}

func status(t *testing.T, text string) (s kanalctl.Status) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return s
}

// holds gives what each instance of a service holds.
func holds(s kanalctl.Status, service string) (all []int32, byID map[string][]int32) {
	byID = map[string][]int32{}
	for _, h := range s.Handlers {
		if h.Service == service {
			byID[h.ID] = h.Holds
			all = append(all, h.Holds...)
		}
	}
	slices.Sort(all)
	return all, byID
}

func TestStatus(t *testing.T) {
	nc := startNATS(t)
	info := startCluster(t, nc).Info()
	announce(t, nc)
	s := status(t, kanalctlSays(t, "status", "-json"))
	if s.ClusterID != info.ClusterID || s.Brokers != 3 || len(s.FrontEnds) != 1 || len(s.Handlers) != 3 {
		t.Fatalf("got %+v", s)
	}
	if e := s.Handlers[0]; e.ID != "E" || e.Share != 7 || e.Holds != nil {
		t.Errorf("echo is %+v", e)
	}
	if r := s.Handlers[1]; r.Share != 50 || r.APIs[protocol.Produce].Max != 13 {
		t.Errorf("records is %+v", r)
	}
	if all, byID := holds(s, "records"); !slices.Equal(all, []int32{1, 2, 3}) {
		t.Errorf("brokers are not held once each: %v", byID)
	}
	text := kanalctlSays(t, "status")
	for _, want := range []string{"brokers 1-3", "localhost:9092 (brokers at 9093-9095)", "Produce 0-13", "R2", "of 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s does not say %q", text, want)
		}
	}
}

// A watcher sees that another instance holds what a draining one held, and ends
// in order when it is told to.
func TestStatusWatch(t *testing.T) {
	nc := startNATS(t)
	startCluster(t, nc)
	i := announce(t, nc)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := kanalctl.Run(ctx, []string{"status", "-json", "-watch"}, w)
		w.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	next := func() kanalctl.Status {
		if !lines.Scan() {
			t.Fatalf("the watcher ended: %v", <-ended)
		}
		return status(t, lines.Text())
	}
	for all, _ := holds(next(), "records"); len(all) < 3; all, _ = holds(next(), "records") {
	}
	i.drain("R1")
	for {
		if _, byID := holds(next(), "records"); len(byID["R1"]) == 0 && len(byID["R2"]) == 3 {
			break
		}
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestTopics(t *testing.T) {
	registry := startCluster(t, startNATS(t))
	topic := &cluster.Topic{Name: "orders", ID: cluster.NewID(), Partitions: 6, Logs: 4, ReplicationFactor: 3, StreamReplicas: 1,
		Configs: map[string]string{"max.message.bytes": "1000"}, Created: time.Now()}
	if err := registry.CreateTopic(limited(t), topic); err != nil {
		t.Fatal(err)
	}
	var got kanalctl.Topics
	if err := json.Unmarshal([]byte(kanalctlSays(t, "topics", "-json")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Topics) != 1 || got.Topics[0].ID != topic.ID || got.Topics[0].Partitions != 6 || got.Topics[0].Configs["max.message.bytes"] != "1000" {
		t.Fatalf("got %+v", got)
	}
	if text := kanalctlSays(t, "topics"); !strings.Contains(text, "3 (1 in NATS)  max.message.bytes=1000") {
		t.Errorf("got %s", text)
	}
}

// Looking at a cluster that is not there does not make it.
func TestNoCluster(t *testing.T) {
	nc := startNATS(t)
	err := kanalctl.Run(limited(t), []string{"topics"}, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "KANAL_CLUSTER") {
		t.Fatal(err)
	}
	if s := status(t, kanalctlSays(t, "status", "-json")); len(s.FrontEnds)+len(s.Handlers) != 0 || s.Brokers != 0 {
		t.Errorf("got %+v", s)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(limited(t)).Name() {
		t.Errorf("stream %s was made", name)
	}
}
