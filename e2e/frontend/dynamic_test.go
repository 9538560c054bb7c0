package frontend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
)

// store writes broker configs as `nats kv put` does, past all checks.
type store struct {
	t  testing.TB
	kv jetstream.KeyValue
}

func newStore(t testing.TB, url string) store {
	t.Helper()
	js, err := jetstream.New(connect(t, url))
	if err != nil {
		t.Fatal(err)
	}
	r, err := cluster.Open(t.Context(), js, cluster.Config{Cluster: "test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	kv, err := js.KeyValue(t.Context(), "kanal_test")
	if err != nil {
		t.Fatal(err)
	}
	return store{t, kv}
}

func (s store) put(value string) uint64 {
	s.t.Helper()
	revision, err := s.kv.PutString(s.t.Context(), "broker-configs", value)
	if err != nil {
		s.t.Fatal(err)
	}
	return revision
}

func (s store) set(pairs ...string) uint64 {
	s.t.Helper()
	configs := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		configs[pairs[i]] = pairs[i+1]
	}
	b, err := json.Marshal(map[string]any{"version": 1, "configs": configs})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(string(b))
}

// value is the sum of a metric over all its labels, and over how many.
func (f *fixture) value(name string, labels ...string) (sum float64, n int) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			match := 0
			for _, l := range m.GetLabel() {
				for i := 0; i < len(labels); i += 2 {
					if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
						match++
					}
				}
			}
			if 2*match == len(labels) {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				n++
			}
		}
	}
	return sum, n
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within time: " + what)
		}
	}
}

// runsWith waits until a front end runs with a revision.
func (f *fixture) runsWith(revision uint64) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("revision %d is applied", revision), func() bool {
		applied, _ := f.value("kanal_config_applied_revision")
		return applied == float64(revision)
	})
}

// dynamic is a front end with its store.
func dynamic(t testing.TB, variables map[string]string) (*fixture, store) {
	t.Helper()
	url := startNATS(t)
	s := newStore(t, url)
	startHandler(t, url)
	f := newFrontEnd(t, url, variables)
	f.awaitOpened()
	return f, s
}

// serves tells whether a connection is answered (ApiVersions 0).
func (c client) serves() bool {
	_ = c.SetDeadline(time.Now().Add(patience))
	c.send([]byte{0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff})
	var size [4]byte
	_, err := io.ReadFull(c, size[:])
	if err == nil {
		_, err = io.CopyN(io.Discard, c, int64(size[2])<<8|int64(size[3]))
	}
	return err == nil
}

// waits tells that a connection is not served for a while, and yet not closed.
func (c client) waits(d time.Duration) bool {
	_ = c.SetDeadline(time.Now().Add(d))
	c.send([]byte{0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff})
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (f *fixture) admitted(n int, listener string) (all []client) {
	f.t.Helper()
	for range n {
		c := f.dialListener(listener)
		if !c.serves() {
			f.t.Fatal("a connection is not served")
		}
		all = append(all, c)
	}
	return all
}

// W2, D14 and testDynamicConnectionQuota: the limit per address, then an override
// of it; what is open stays open, and a slot that is free can be had.
func TestLimitPerAddressChanges(t *testing.T) {
	f, s := dynamic(t, nil)
	open := f.admitted(6, "TEST")
	f.runsWith(s.set("max.connections.per.ip", "5"))
	for _, c := range open {
		if !c.serves() {
			t.Error("an open connection was closed")
		}
	}
	if f.dial().serves() {
		t.Error("a seventh was served with a limit of five")
	}
	f.runsWith(s.set("max.connections.per.ip", "5", "max.connections.per.ip.overrides", "127.0.0.1:7"))
	open = append(open, f.admitted(1, "TEST")...)
	if f.dial().serves() {
		t.Error("an eighth was served with an override of seven")
	}
	open[0].Close()
	eventually(t, "the free slot is had", func() bool { return f.dial().serves() })
	f.runsWith(s.set()) // and back to the environment's, which is none
	f.admitted(5, "TEST")
}

// W2, D14 and testDynamicListenerConnectionQuota: at the limit of a listener the
// next waits, until the limit is raised.
func TestLimitOfListenerChanges(t *testing.T) {
	f, s := dynamic(t, map[string]string{"KANAL_LISTENERS": "TEST://127.0.0.1:0,OTHER://127.0.0.1:0", "KANAL_MAX_CONNECTIONS": "5"})
	f.admitted(2, "OTHER")
	f.admitted(3, "TEST")
	next := f.dial()
	if !next.waits(50 * time.Millisecond) {
		t.Fatal("a sixth did not wait with a limit of five")
	}
	f.runsWith(s.set("max.connections", "100", "listener.name.test.max.connections", "4"))
	if !next.serves() {
		t.Error("raising the limit did not let it in")
	}
	fifth := f.dial()
	if !fifth.waits(50 * time.Millisecond) {
		t.Error("a fifth of TEST did not wait with a limit of four")
	}
	f.admitted(3, "OTHER")
	f.runsWith(s.set("max.connections", "100", "listener.name.test.max.connections", "5"))
	if !fifth.serves() {
		t.Error("raising the listener's limit did not let it in")
	}
}

// W2, testDynamicListenerConnectionCreationRateQuota: the measured rates follow.
func TestCreationRateChanges(t *testing.T) {
	f, s := dynamic(t, map[string]string{"KANAL_LISTENERS": "TEST://127.0.0.1:0,OTHER://127.0.0.1:0"})
	takes := func(listener string, n int) time.Duration {
		begun := time.Now()
		f.admitted(n, listener)
		return time.Since(begun)
	}
	f.runsWith(s.set("max.connection.creation.rate", "20", "kanal.max.connection.creation.burst", "1"))
	if d := takes("TEST", 10) + takes("OTHER", 10); d < 900*time.Millisecond {
		t.Errorf("20 connections took %s at 20 a second in total", d)
	}
	f.runsWith(s.set("listener.name.test.max.connection.creation.rate", "20", "listener.name.test.kanal.max.connection.creation.burst", "1"))
	if d := takes("TEST", 11); d < 450*time.Millisecond {
		t.Errorf("11 connections took %s at 20 a second of the listener", d)
	}
	if d := takes("OTHER", 11); d > 400*time.Millisecond {
		t.Errorf("the other listener was slowed down: %s", d)
	}
	f.runsWith(s.set("listener.name.test.max.connection.creation.rate", "1000"))
	if d := takes("TEST", 11); d > 400*time.Millisecond {
		t.Errorf("11 connections took %s at 1000 a second", d)
	}
}

// testDynamicIpConnectionRateQuota, by a config of all addresses (W12 belongs to
// client quotas).
func TestCreationRatePerAddressChanges(t *testing.T) {
	f, s := dynamic(t, nil)
	f.admitted(20, "TEST")
	f.runsWith(s.set("kanal.connection.creation.rate.per.ip", "2", "kanal.connection.creation.burst.per.ip", "3"))
	refused := 0
	for range 10 {
		if !f.dial().serves() {
			refused++
		}
	}
	if refused < 3 { // they are held for up to a second before they are closed
		t.Errorf("%d of 10 were refused", refused)
	}
	f.runsWith(s.set())
	f.admitted(10, "TEST")
}

// W3 and testDynamicNumNetworkThreads: the total's value and a listener's change
// each what they mean, by any step.
func TestProcessorsChange(t *testing.T) {
	f, s := dynamic(t, map[string]string{"KANAL_LISTENERS": "TEST://127.0.0.1:0,OTHER://127.0.0.1:0", "KANAL_PROCESSORS": "2"})
	open := append(f.admitted(6, "TEST"), f.admitted(6, "OTHER")...)
	are := func(test, other int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d and %d processors", test, other), func() bool {
			_, a := f.value("kanal_processor_parked_receives", "listener", "TEST")
			_, b := f.value("kanal_processor_parked_receives", "listener", "OTHER")
			return a == test && b == other
		})
		for _, c := range open {
			if !c.serves() {
				t.Fatal("a connection was closed")
			}
		}
	}
	are(2, 2)
	f.runsWith(s.set("num.network.threads", "7"))
	are(7, 7)
	f.runsWith(s.set("num.network.threads", "3", "listener.name.test.num.network.threads", "1"))
	are(1, 3)
	f.runsWith(s.set())
	are(2, 2)
}

// W6, W7, W8, W9, testAddRemoveSaslListeners, testReconfigureRemovedListener: a
// listener comes and goes with all that it had, comes again with other settings,
// and the others notice nothing.
func TestListenersComeAndGo(t *testing.T) {
	f, s := dynamic(t, map[string]string{"KANAL_LISTENER_MORE_MAX_CONNECTIONS": "1"})
	stays := f.admitted(1, "TEST")[0]
	two := "TEST://127.0.0.1:0,MORE://127.0.0.1:0"
	f.runsWith(s.set("listeners", two))
	more := f.admitted(1, "MORE")[0]
	if !f.dialListener("MORE").waits(50 * time.Millisecond) {
		t.Error("the environment's limit of the listener does not hold")
	}
	at := f.Addr("MORE")
	f.runsWith(s.set("listener.name.more.max.connections", "2")) // of one that is removed: no harm
	if more.serves() {
		t.Error("the connection of a removed listener is served")
	}
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("the port of a removed listener is open")
	}
	for _, name := range []string{"kanal_connections", "kanal_processor_response_queue", "kanal_processor_idle_seconds_total"} {
		if _, n := f.value(name, "listener", "MORE"); n != 0 {
			t.Errorf("%s of a removed listener is still there", name)
		}
	}
	f.runsWith(s.set("listeners", two, "listener.name.more.max.connections", "2", "listener.security.protocol.map", "MORE:SASL_PLAINTEXT", "listener.name.more.sasl.enabled.mechanisms", "PLAIN"))
	login := f.dialListener("MORE")
	login.send(append([]byte{0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff}, 0, 0, 0, 0)) // Metadata
	if _, err := login.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("Metadata before login: %v", err)
	}
	if !stays.serves() {
		t.Error("the listener that stays lost a connection")
	}
}

// W1, W13: an entry that is wrong in any way changes nothing, and is told in log,
// metric and announcement; the next good one counts.
func TestWrongEntries(t *testing.T) {
	url := startNATS(t)
	s := newStore(t, url)
	startHandler(t, url)
	f := newFrontEnd(t, url, nil)
	f.awaitOpened()
	view, err := requestchannel.NewView(connect(t, url), requestchannel.Subjects{Prefix: "kanal", Cluster: "test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	good := s.set("max.connections.per.ip", "2")
	f.runsWith(good)
	f.admitted(2, "TEST")
	for i, value := range []string{
		`nonsense`, `{"version":7,"configs":{}}`, `{"version":1,"configs":{"max.connections.per.ip":"-1","nonsense":"1"}}`,
		`{"version":1,"configs":{"max.connections.per.ip":"100","queued.max.requests":"1"}}`,
		`{"version":1,"configs":{"max.connections.per.ip":"100","listeners":"TEST://127.0.0.1:1"}}`,
		`{"version":1,"configs":{"max.connections.per.ip":"100","advertised.listeners":"NONE://h:1"}}`,
	} {
		revision := s.put(value)
		eventually(t, "it is refused: "+value, func() bool {
			seen, _ := f.value("kanal_config_seen_revision")
			failures, _ := f.value("kanal_config_failures_total", "kind", "refused")
			return seen == float64(revision) && failures == float64(i+1)
		})
		if applied, _ := f.value("kanal_config_applied_revision"); applied != float64(good) {
			t.Errorf("%s: applied revision is %v", value, applied)
		}
		if f.dial().serves() {
			t.Errorf("%s: it changed the limit", value)
		}
		eventually(t, "it is announced", func() bool {
			all := view.FrontEnds()
			return len(all) == 1 && all[0].Config != nil && all[0].Config.Seen == revision && all[0].Config.Applied == good && all[0].Config.Error != ""
		})
	}
	f.runsWith(s.set("max.connections.per.ip", "3"))
	f.admitted(1, "TEST")
	eventually(t, "there is no error any more", func() bool { return view.FrontEnds()[0].Config.Error == "" })
}

// A restart begins with what is stored, before its ports open; a listener whose
// port is taken does not keep it from starting, and opens when the port is free.
func TestRestartWithStoredConfigs(t *testing.T) {
	url := startNATS(t)
	s := newStore(t, url)
	startHandler(t, url)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	revision := s.set("max.connections.per.ip", "1", "listeners", "TEST://127.0.0.1:0,MORE://127.0.0.1:0,LATE://"+taken.Addr().String())
	f := newFrontEnd(t, url, map[string]string{"KANAL_LISTENERS": "TEST://127.0.0.1:0,OLD://127.0.0.1:0"})
	f.awaitOpened()
	f.admitted(1, "MORE")
	if f.dial().serves() {
		t.Error("the stored limit does not hold")
	}
	if f.Addr("OLD") != "" {
		t.Error("a listener that is not to be is open")
	}
	if failures, _ := f.value("kanal_config_failures_total", "kind", "unapplied"); failures < 1 {
		t.Error("the port that is taken is not counted")
	}
	taken.Close()
	f.runsWith(revision)
	if !strings.HasPrefix(f.Addr("LATE"), "127.0.0.1:") {
		t.Error("the listener did not open")
	}
}

// All front ends of a cluster follow, and a change of what clients are told
// reaches those who tell it (testAdvertisedListenerUpdate).
func TestSeveralFrontEndsFollow(t *testing.T) {
	url := startNATS(t)
	s := newStore(t, url)
	startHandler(t, url)
	var all []*fixture
	for range 3 {
		f := newFrontEnd(t, url, nil)
		f.awaitOpened()
		all = append(all, f)
	}
	view, err := requestchannel.NewView(connect(t, url), requestchannel.Subjects{Prefix: "kanal", Cluster: "test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	revision := s.set("max.connections.per.ip", "1", "advertised.listeners", "TEST://kafka.example.com:443")
	for _, f := range all {
		f.runsWith(revision)
		f.admitted(1, "TEST")
		if f.dial().serves() {
			t.Error("a second connection was served")
		}
	}
	eventually(t, "all announce the new address", func() bool {
		n := 0
		for _, f := range view.FrontEnds() {
			if f.Addresses["TEST"].Host == "kafka.example.com" && f.Config != nil && f.Config.Applied == revision && f.Config.Environment["listeners"] == "TEST://127.0.0.1:0" {
				n++
			}
		}
		return n == 3
	})
}
