package frontend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
	"kanal/libs/ssl"
	"kanal/services/frontend/internal/requestlog"
)

// Every config of the table means a variable that there is, and what may change
// of a listener that runs is the same on both sides.
func TestBrokerConfigsHaveVariables(t *testing.T) {
	service, own := valuesOf(new(Config)), valuesOf(new(Listener))
	var dynamic []string
	for _, d := range cluster.BrokerConfigDefs {
		if _, ok := service[d.Variable]; d.Variable != "" && !ok {
			t.Errorf("%s: no variable %s", d.Name, d.Variable)
		}
		if _, ok := own[d.OfListener]; d.OfListener != "" && !ok {
			t.Errorf("%s: no variable %s of a listener", d.Name, d.OfListener)
		}
		if d.OfListener != "" && !d.Fixed {
			dynamic = append(dynamic, d.OfListener)
		}
		defaults := valuesOf(defaultsOf[Config]())
		if d.OfListener != "" && d.Variable == "" {
			defaults = valuesOf(defaultsOf[Listener]())
		}
		if v := defaults[d.Variable+d.OfListener]; d.Variable != "" != (d.OfListener != "") && d.Default != "" && v != d.Default {
			t.Errorf("%s: default %s, the variable's is %s", d.Name, d.Default, v)
		}
	}
	slices.Sort(dynamic)
	if want := slices.Sorted(slices.Values(changeable)); !slices.Equal(dynamic, want) {
		t.Errorf("the table has %v change while a listener runs, the front end %v", dynamic, want)
	}
}

// W1: broker configs come before the environment, and what they leave alone stays.
func TestConfigsReplaceTheEnvironment(t *testing.T) {
	base, err := parse(t, map[string]string{
		"KANAL_LISTENERS": "A://h:100,B://h:200", "KANAL_MAX_CONNECTIONS": "50", "KANAL_PROCESSORS": "2", "KANAL_WRITE_TIMEOUT": "0s",
		"KANAL_LISTENER_A_MAX_CONNECTIONS": "7", "KANAL_LISTENER_C_KIND": "frames",
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := base.with(map[string]string{
		"max.connections": "60", "max.connections.per.ip": "0", "max.connections.per.ip.overrides": "127.0.0.1:3", "num.network.threads": "3",
		"listeners": "A://h:100,C://h:300,D://h:400", "listener.name.c.kanal.handler": "echo", "listener.name.a.num.network.threads": "4",
		"advertised.listeners": "A://example.com:9", "listener.security.protocol.map": "D:SASL_PLAINTEXT,A:PLAINTEXT",
		"listener.name.d.connections.max.reauth.ms": "5000", "listener.name.d.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
		"listener.name.d.max.connection.creation.rate": "11", "listener.name.d.kanal.max.connection.creation.burst": "12",
		"kanal.max.connections.action": "refuse", "kanal.connection.creation.rate.per.ip": "13",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MaxConnections != 60 || cfg.MaxConnectionsPerIP != 0 || cfg.WriteTimeout != 0 || cfg.MaxConnectionsAction != "refuse" || cfg.ConnectionRatePerIP != 13 || cfg.QueuedMaxRequests != 500 {
		t.Errorf("%+v", cfg)
	}
	ls, err := cfg.listeners()
	if err != nil || len(ls) != 3 {
		t.Fatal(ls, err)
	}
	a, c, d := ls[0], ls[1], ls[2]
	if a.Processors != 4 || a.Quotas.MaxConnections != 7 || a.advertised.Host != "example.com" {
		t.Errorf("%+v", a)
	}
	if c.Kind != socketserver.KindFrames || c.Handler != "echo" || c.Processors != 3 {
		t.Errorf("%+v", c)
	}
	if d.SecurityProtocol != "SASL_PLAINTEXT" || d.own.MaxReauth != 5*time.Second || !slices.Equal(d.own.Mechanisms, []string{"PLAIN", "SCRAM-SHA-256"}) ||
		d.Quotas.Rate != (socketserver.Rate{PerSecond: 11, Burst: 12}) {
		t.Errorf("%+v", d)
	}
	if again, err := base.with(nil); err != nil || !reflect.DeepEqual(again, base) {
		t.Errorf("without configs: %+v, %v", again, err)
	}
	for name, configs := range map[string]map[string]string{
		"the table refuses":       {"max.connections": "0"},
		"the environment refuses": {"advertised.listeners": "Z://h:1"},
		"no handler":              {"listeners": "C://h:300"},
	} {
		if _, err := base.with(configs); err == nil {
			t.Errorf("%s: accepted %v", name, configs)
		}
	}
}

// What a front end announces of its environment makes the same front end again
// when it is given as configs, as far as it may change.
func TestEnvironmentIsTheOpposite(t *testing.T) {
	base, err := parse(t, map[string]string{
		"KANAL_LISTENERS": "A://h:100,B://h:200", "KANAL_MAX_CONNECTIONS": "50", "KANAL_PROCESSORS": "2", "KANAL_CONNECTIONS_MAX_IDLE": "90s",
		"KANAL_LISTENER_A_MAX_CONNECTIONS": "7", "KANAL_LISTENER_B_PROTOCOL": "SASL_PLAINTEXT", "KANAL_LISTENER_B_SASL_MAX_REAUTH": "3s",
	})
	if err != nil {
		t.Fatal(err)
	}
	listeners, _ := base.listeners()
	got := base.environment(listeners)
	want := map[string]string{
		"listeners": "A://h:100,B://h:200", "listener.security.protocol.map": "A:PLAINTEXT,B:SASL_PLAINTEXT", "max.connections": "50", "num.network.threads": "2",
		"connections.max.idle.ms": "90000", "listener.name.a.max.connections": "7", "listener.name.b.connections.max.reauth.ms": "3000",
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	delete(got, "connections.max.idle.ms") // read at start
	cfg, err := base.with(got)
	if err != nil {
		t.Fatal(err)
	}
	target, _ := cfg.listeners()
	if p, err := planned(listeners, target); err != nil || len(p.add)+len(p.remove) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// W6: what cannot change of a listener that runs, and what can.
func TestPlan(t *testing.T) {
	base, _ := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:100,B://h:200"})
	running, _ := base.listeners()
	for name, c := range map[string]struct {
		configs map[string]string
		want    string // remove, add, or what an error says
	}{
		"nothing":          {map[string]string{}, ""},
		"limits":           {map[string]string{"listener.name.a.max.connections": "5", "num.network.threads": "9"}, ""},
		"one more":         {map[string]string{"listeners": "C://h:300,B://h:200,A://h:100"}, "+C"},
		"another":          {map[string]string{"listeners": "C://h:300,B://h:200"}, "-A+C"},
		"another port":     {map[string]string{"listeners": "A://h:101,B://h:200"}, "A runs with port 100"},
		"another host":     {map[string]string{"listeners": "A://i:100,B://h:200"}, "A runs with host h"},
		"another protocol": {map[string]string{"listener.security.protocol.map": "B:SASL_PLAINTEXT"}, "KANAL_LISTENER_B_PROTOCOL"},
		"privileged":       {map[string]string{"listener.name.a.kanal.privileged": "true"}, "KANAL_LISTENER_A_PRIVILEGED"},
	} {
		cfg, err := base.with(c.configs)
		if err != nil {
			t.Fatal(name, err)
		}
		target, _ := cfg.listeners()
		p, err := planned(running, target)
		got := ""
		for _, l := range p.remove {
			got += "-" + l.Name
		}
		for _, l := range p.add {
			got += "+" + l.Name
		}
		if err != nil {
			got = err.Error()
		}
		if c.want != got && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// fakeReactor keeps what a server would be.
type fakeReactor struct {
	quotas    socketserver.Quotas
	listeners map[string]socketserver.ListenerConfig
	fail      map[string]error // by step
	calls     int
	certified []string // listeners whose certificates were to change
}

func (f *fakeReactor) UpdateQuotas(q socketserver.Quotas, own map[string]socketserver.ListenerQuotas) error {
	f.calls++
	if err := f.fail["quotas"]; err != nil {
		return err
	}
	f.quotas = q
	for name, quotas := range own {
		l, ok := f.listeners[name]
		if !ok {
			return fmt.Errorf("no listener %s", name)
		}
		l.Quotas = quotas
		f.listeners[name] = l
	}
	return nil
}

func (f *fakeReactor) AddListener(l socketserver.ListenerConfig) error {
	if err := f.fail["add "+l.Name]; err != nil {
		return err
	}
	for _, other := range f.listeners {
		if other.Name == l.Name || other.Port == l.Port {
			return fmt.Errorf("port or name of %s in use", l.Name)
		}
	}
	f.listeners[l.Name] = l
	return nil
}

func (f *fakeReactor) RemoveListener(name string) error {
	if err := f.fail["remove "+name]; err != nil {
		return err
	}
	delete(f.listeners, name)
	return nil
}

func (f *fakeReactor) Resize(name string, n int) error {
	if err := f.fail["resize "+name]; err != nil {
		return err
	}
	l := f.listeners[name]
	l.Processors = n
	f.listeners[name] = l
	return nil
}

func (f *fakeReactor) UpdateTLS(name string, c ssl.Config) error {
	f.certified = append(f.certified, name)
	if err := f.fail["certificates "+name]; err != nil {
		return err
	}
	l := f.listeners[name]
	l.TLS = c
	f.listeners[name] = l
	return nil
}

// subject is a front end's dynamic part over a fake reactor.
type subject struct {
	*dynamic
	server *fakeReactor
	mu     sync.Mutex // between a test and what follows
	now    cluster.BrokerConfigs
	told   requestchannel.FrontEndConfig
	log    bytes.Buffer
}

func newSubject(t *testing.T, base Config) *subject {
	s := &subject{server: &fakeReactor{listeners: map[string]socketserver.ListenerConfig{}, fail: map[string]error{}}}
	listeners, err := base.listeners()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		s.server.listeners[l.Name] = l.ListenerConfig
	}
	s.dynamic = &dynamic{
		base: base, stored: s.stores, server: s.server,
		tell:    func(_ []listener, c *requestchannel.FrontEndConfig) { s.told = *c },
		prepare: func(*listener) error { return nil }, logs: func(requestlog.Config) error { return nil },
		log: slog.New(slog.NewTextHandler(&s.log, nil)), metrics: newConfigMetrics(nil), changed: make(chan struct{}, 1),
	}
	s.run(listeners)
	return s
}

func (s *subject) stores() cluster.BrokerConfigs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *subject) store(revision uint64, pairs ...string) {
	s.now = cluster.BrokerConfigs{Revision: revision, Values: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		s.now.Values[pairs[i]] = pairs[i+1]
	}
	s.look(context.Background())
}

// One wrong config among good ones changes nothing, and everything wrong is told
// (W1); what is taken away returns to the environment's.
func TestDynamicLimits(t *testing.T) {
	base, _ := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:100", "KANAL_MAX_CONNECTIONS": "50", "KANAL_PROCESSORS": "2"})
	s := newSubject(t, base)
	s.store(5, "max.connections", "60", "listener.name.a.max.connections", "6", "num.network.threads", "3")
	if a := s.server.listeners["A"]; s.server.quotas.MaxConnections != 60 || a.Quotas.MaxConnections != 6 || a.Processors != 3 || s.told.Applied != 5 || s.told.Error != "" {
		t.Fatalf("%+v, %+v", s.server, s.told)
	}
	calls := s.server.calls
	s.store(6, "max.connections", "70", "max.connections.per.ip", "-1", "queued.max.requests", "1")
	if s.server.calls != calls || s.server.quotas.MaxConnections != 60 {
		t.Errorf("bad configs were applied: %+v", s.server.quotas)
	}
	for _, says := range []string{"max.connections.per.ip", "queued.max.requests"} {
		if !strings.Contains(s.told.Error, says) || !strings.Contains(s.log.String(), says) {
			t.Errorf("%q is not told: %s; log %s", says, s.told.Error, s.log.String())
		}
	}
	if s.told.Applied != 5 || s.told.Seen != 6 || testutil.ToFloat64(s.metrics.applied) != 5 || testutil.ToFloat64(s.metrics.failures.WithLabelValues(refused)) != 1 {
		t.Errorf("told %+v", s.told)
	}
	s.now = cluster.BrokerConfigs{Revision: 7, Err: errors.New("not JSON")}
	s.look(context.Background())
	if s.server.quotas.MaxConnections != 60 || s.told.Error != "not JSON" {
		t.Errorf("%+v, %+v", s.server.quotas, s.told)
	}
	s.store(8)
	if a := s.server.listeners["A"]; s.server.quotas.MaxConnections != 50 || a.Quotas.MaxConnections != 0 || a.Processors != 2 || s.told.Applied != 8 || s.told.Error != "" {
		t.Errorf("%+v, %+v", s.server, s.told)
	}
}

// A step that fails leaves the others done, and is tried again until it works.
func TestStepsThatFail(t *testing.T) {
	base, _ := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:100,B://h:200", "KANAL_PROCESSORS": "2"})
	synctest.Test(t, func(t *testing.T) {
		s := newSubject(t, base)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.follow(ctx); close(ended) }()
		defer func() { cancel(); <-ended }()
		synctest.Wait()
		s.mu.Lock()
		s.server.fail["add C"] = errors.New("address in use")
		s.server.fail["resize A"] = errors.New("no descriptors")
		s.now = cluster.BrokerConfigs{Revision: 3, Values: map[string]string{"listeners": "A://h:100,C://h:300,D://h:400", "num.network.threads": "3", "max.connections": "9"}}
		s.mu.Unlock()
		s.wake()
		synctest.Wait()
		if names := slices.Sorted(maps.Keys(s.server.listeners)); !slices.Equal(names, []string{"A", "D"}) || s.server.quotas.MaxConnections != 9 || s.server.listeners["A"].Processors != 2 {
			t.Fatalf("%+v", s.server)
		}
		if !strings.Contains(s.told.Error, "address in use") || !strings.Contains(s.told.Error, "no descriptors") || s.told.Applied == 3 {
			t.Errorf("%+v", s.told)
		}
		s.stores()                                 // what comes next may write again
		time.Sleep(time.Minute + time.Millisecond) // several tries
		synctest.Wait()
		s.mu.Lock()
		clear(s.server.fail)
		s.mu.Unlock()
		time.Sleep(lastRetry + time.Second)
		synctest.Wait()
		if _, ok := s.server.listeners["C"]; !ok || s.server.listeners["A"].Processors != 3 || s.told.Applied != 3 || s.told.Error != "" {
			t.Errorf("%+v, %+v", s.server.listeners, s.told)
		}
		if n := testutil.ToFloat64(s.metrics.failures.WithLabelValues(unapplied)); n < 3 || n > 8 {
			t.Errorf("%v tries failed in a minute", n)
		}
	})
}

// W8, W15: changes go one after another, and ports are given up before others
// are taken. Whatever came before, a front end ends as one that has only seen the
// last of the configs; wrong ones on the way change nothing.
func TestOrderOfChangesDoesNotMatter(t *testing.T) {
	base, _ := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:100,B://h:200", "KANAL_PROCESSORS": "2", "KANAL_MAX_CONNECTIONS": "50"})
	choices := map[string][]string{
		"max.connections":                     {"5", "6", "0"},
		"max.connections.per.ip.overrides":    {"127.0.0.1:5", "::1:x"},
		"listener.name.a.max.connections":     {"7", "-7"},
		"listener.name.c.max.connections":     {"8"},
		"num.network.threads":                 {"1", "4"},
		"listener.name.b.num.network.threads": {"5"},
		"listeners":                           {"A://h:100", "B://h:200,C://h:300", "C://h:300", "D://h:100,B://h:200", "A://h:100,A://h:101"},
		"advertised.listeners":                {"C://example.com:1"},
	}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newSubject(t, base)
		var good map[string]string
		for revision := uint64(1); revision < 12; revision++ {
			configs := map[string]string{}
			for key, values := range choices {
				if random.IntN(3) == 0 {
					configs[key] = values[random.IntN(len(values))]
				}
			}
			if _, err := base.with(configs); err == nil {
				good = configs
			}
			s.now = cluster.BrokerConfigs{Revision: revision, Values: configs}
			s.look(t.Context())
		}
		fresh := newSubject(t, base)
		fresh.now = cluster.BrokerConfigs{Revision: 1, Values: good}
		fresh.look(t.Context())
		if fresh.told.Error != "" {
			t.Fatal(fresh.told.Error)
		}
		if !reflect.DeepEqual(s.server.listeners, fresh.server.listeners) || good != nil && !reflect.DeepEqual(s.server.quotas, fresh.server.quotas) {
			t.Fatalf("seed %d: %+v\nwant, from %v, %+v", seed, s.server, good, fresh.server)
		}
	}
}
