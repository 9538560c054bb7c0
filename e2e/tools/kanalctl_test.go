package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// follow has the front end say what became of the newest configs.
func (i *instances) follow(t *testing.T, registry *cluster.Registry, accept func(map[string]string) error) {
	config := &requestchannel.FrontEndConfig{Environment: map[string]string{"listeners": "PLAINTEXT://localhost:9092", "max.connections": "50"}}
	look := func() {
		i.mu.Lock()
		next := *config
		now := registry.BrokerConfigs()
		next.Seen, next.Error = now.Revision, ""
		if err := accept(now.Values); err != nil {
			next.Error = err.Error()
		} else {
			next.Applied = now.Revision
		}
		config, i.frontEnd.Config = &next, &next
		i.mu.Unlock()
		i.publish(t)
	}
	look()
	registry.OnChange(look)
}

func TestConfig(t *testing.T) {
	nc := startNATS(t)
	registry := startCluster(t, nc)
	announce(t, nc).follow(t, registry, func(values map[string]string) error {
		if values["max.connections"] == "7" {
			return errors.New("seven is too few here")
		}
		return nil
	})
	read := func(text string) (c kanalctl.Configs) {
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		return c
	}
	refused := func(says string, args ...string) {
		t.Helper()
		err := kanalctl.Run(limited(t), append([]string{"config"}, args...), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v does not say %q", args, err, says)
		}
	}
	set := read(kanalctlSays(t, "config", "set", "-json", "max.connections=60", "kanal.max.connections.action=refuse"))
	if len(set.Configs) != 2 || set.Revision == 0 || len(set.FrontEnds) != 1 || set.FrontEnds[0].Applied != set.Revision {
		t.Errorf("set: %+v", set)
	}
	if got := registry.BrokerConfigs().Values; len(got) != 2 || got["max.connections"] != "60" {
		t.Errorf("stored: %v", got)
	}
	list := read(kanalctlSays(t, "config", "list", "-json"))
	for _, e := range list.Configs {
		if e.Key == "max.connections" && (e.Value == nil || *e.Value != "60" || !slices.Equal(e.Environment, []string{"50"}) || e.Default != "2147483647" || e.Changes != "running") {
			t.Errorf("list: %+v", e)
		}
	}
	if len(list.Configs) != 3 {
		t.Errorf("list: %+v", list.Configs)
	}
	if got := read(kanalctlSays(t, "config", "get", "-json", "queued.max.requests")); len(got.Configs) != 1 || got.Configs[0].Changes != "start" || got.Configs[0].Value != nil || got.Configs[0].Doc == "" {
		t.Errorf("get: %+v", got.Configs)
	}
	refused("queued.max.requests", "set", "max.connections=70", "queued.max.requests=1")
	refused("PLAINTEXT", "set", "listeners=PLAINTEXT://localhost:9093") // what the front end announces
	refused("no such", "get", "nonsense")
	if got := registry.BrokerConfigs().Values["max.connections"]; got != "60" {
		t.Errorf("a refusal changed it to %s", got)
	}
	refused("not applied by F", "set", "max.connections=7")
	if text := kanalctlSays(t, "config", "list"); !strings.Contains(text, "seven is too few here") {
		t.Errorf("got %s", text)
	}
	if unset := read(kanalctlSays(t, "config", "unset", "-json", "max.connections", "kanal.max.connections.action")); len(unset.Configs) != 0 {
		t.Errorf("unset: %+v", unset)
	}
}
