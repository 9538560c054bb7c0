package cluster

import (
	"slices"
	"strings"
	"testing"

	"kanal/libs/requestchannel"
)

func TestBrokerConfigTable(t *testing.T) {
	if !slices.IsSortedFunc(BrokerConfigDefs, func(a, b BrokerConfigDef) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("table is not sorted by name, which lookups rely on")
	}
	for _, d := range BrokerConfigDefs {
		if err := d.Check(d.Default); d.Default != "" && err != nil {
			t.Errorf("default: %v", err)
		}
		if d.Doc == "" || d.Type.String() == "UNKNOWN" || d.Variable == "" && d.OfListener == "" && d.Name != ConfigProtocolMap {
			t.Errorf("%s: no documentation, type or variable", d.Name)
		}
		if d.Fixed && (d.OfListener == "" || d.Variable != "") {
			t.Errorf("%s: fixed is what a listener alone has", d.Name)
		}
		key := d.Name
		if d.Variable == "" && d.OfListener != "" {
			key = ListenerConfigKey("X", key)
		}
		if found, _, err := BrokerConfig(key); err != nil || found.Name != d.Name {
			t.Errorf("%s is not found: %v", key, err)
		}
	}
}

func TestBrokerConfigKeys(t *testing.T) {
	for key, listener := range map[string]string{"max.connections": "", "listener.name.external.max.connections": "EXTERNAL", "listener.name.a_1.kanal.kind": "A_1"} {
		if _, got, err := BrokerConfig(key); err != nil || got != listener {
			t.Errorf("%s: listener %q, %v", key, got, err)
		}
	}
	for key, says := range map[string]string{
		"max.connection":                           "no such",
		"listener.name.x.max.connection":           "no such",
		"listener.name.X.max.connections":          "lower case",
		"listener.name..max.connections":           "listener.name.<name>",
		"listener.name.x":                          "listener.name.<name>",
		"listener.name.x.listeners":                "no listeners of its own",
		"listener.name.x.socket.send.buffer.bytes": "of its own",
		"kanal.kind":                               "only a listener",
	} {
		if _, _, err := BrokerConfig(key); err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), key+":") {
			t.Errorf("%s: %v does not say %q", key, err, says)
		}
	}
}

// Everything wrong is told at once (W1, W2, W4, W5, W13, D15), and every kind of wrong is
// found.
func TestCheckBrokerConfigs(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]string
		says   []string // nothing: it is good
	}{
		"nothing":                {},
		"limits":                 {values: map[string]string{"max.connections": "1", "listener.name.a.max.connections": "2147483647", "max.connections.per.ip": "0", "max.connections.per.ip.overrides": "127.0.0.1:5,[::1]:6"}},
		"limits below 1":         {values: map[string]string{"max.connections": "0", "listener.name.a.max.connections": "-1", "max.connection.creation.rate": "0", "listener.name.a.max.connection.creation.rate": "0"}, says: []string{"configuration max.connections:", "configuration listener.name.a.max.connections:", "configuration max.connection.creation.rate:", "listener.name.a.max.connection.creation.rate:"}},
		"not a number":           {values: map[string]string{"max.connections": "many", "num.network.threads": "2147483648"}, says: []string{"many", "2147483648"}},
		"threads":                {values: map[string]string{"num.network.threads": "0", "listener.name.b.num.network.threads": "0"}, says: []string{"num.network.threads: value must be at least 1", "listener.name.b.num.network.threads: value"}},
		"0 without overrides":    {values: map[string]string{"max.connections.per.ip": "0"}, says: []string{"nobody"}},
		"overrides":              {values: map[string]string{"max.connections.per.ip.overrides": "a:1,b,c:-1"}, says: []string{"b, c:-1"}},
		"not dynamic":            {values: map[string]string{"queued.max.requests": "1", "socket.request.max.bytes": "5000", "connections.max.idle.ms": "1", "socket.send.buffer.bytes": "1", "socket.receive.buffer.bytes": "1", "socket.listen.backlog.size": "1", "queued.max.request.bytes": "1"}, says: []string{"queued.max.requests: cannot", "KANAL_QUEUED_MAX_REQUESTS", "socket.request.max.bytes: cannot", "connections.max.idle.ms: cannot", "socket.send.buffer.bytes: cannot", "socket.receive.buffer.bytes: cannot", "socket.listen.backlog.size: cannot", "queued.max.request.bytes: cannot"}},
		"listeners":              {values: map[string]string{"listeners": "A://h:1,B://[::1]:90", "advertised.listeners": "A://example.com:1", "listener.security.protocol.map": "A:PLAINTEXT,C:SASL_SSL"}},
		"no listener":            {values: map[string]string{"listeners": " "}, says: []string{"at least one"}},
		"bad listeners":          {values: map[string]string{"listeners": "A://h:1,nonsense"}, says: []string{"nonsense"}},
		"ports overlap":          {values: map[string]string{"listeners": "A://h:90,B://h:92"}, says: []string{"overlap"}},
		"twice":                  {values: map[string]string{"listeners": "A://h:90,a://h:900"}, says: []string{"A is named twice"}},
		"advertised and missing": {values: map[string]string{"listeners": "A://h:1", "advertised.listeners": "B://x:1"}, says: []string{"B://x:1 is not in listeners"}},
		"advertised wildcard":    {values: map[string]string{"advertised.listeners": "B://0.0.0.0:1,C://:1,D://h:0,E://h:1"}, says: []string{"B://0.0.0.0:1, C://:1, D://h:0 is not"}},
		"protocols":              {values: map[string]string{"listener.security.protocol.map": "A:SSL,A:SSL,B:TLS"}, says: []string{"A:SSL, B:TLS"}},
		"other pools (W4, W5)":   {values: map[string]string{"num.io.threads": "4", "background.threads": "4", "num.replica.fetchers": "4"}, says: []string{"num.io.threads: no such", "background.threads: no such", "num.replica.fetchers: no such"}},
		"unknown":                {values: map[string]string{"foo": "1", "max.connections.per.ip": "0"}, says: []string{"foo: no such", "nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckBrokerConfigs(c.values, 2)
			if (err == nil) != (len(c.says) == 0) {
				t.Fatal(err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v\ndoes not say %q", err, says)
				}
			}
		})
	}
}

// W6: what a running listener was opened with stays; what is not known of it is
// for the front end to refuse.
func TestCheckBrokerUpdate(t *testing.T) {
	frontEnds := []requestchannel.FrontEnd{{ID: "old"}, {ID: "f", Config: &requestchannel.FrontEndConfig{Environment: map[string]string{
		"listeners": "A://h:100,B://h:200", "listener.security.protocol.map": "A:PLAINTEXT,B:SSL", "listener.name.b.kanal.privileged": "true"}}}}
	two := "A://h:100,B://h:200"
	for name, c := range map[string]struct {
		before, after map[string]string
		says          string
	}{
		"as it is":             {after: map[string]string{"listeners": two, "listener.security.protocol.map": "A:PLAINTEXT,B:SSL", "listener.name.b.kanal.privileged": "true"}},
		"another port":         {after: map[string]string{"listeners": "A://h:101,B://h:200"}, says: "listeners: listener A"},
		"another protocol":     {after: map[string]string{"listener.security.protocol.map": "B:PLAINTEXT"}, says: "listener.security.protocol.map: listener B"},
		"fixed setting":        {after: map[string]string{"listener.name.b.kanal.privileged": "false"}, says: "kanal.privileged: listener B"},
		"added":                {after: map[string]string{"listeners": two + ",C://h:300", "listener.security.protocol.map": "C:SSL", "listener.name.c.kanal.privileged": "true"}},
		"removed":              {before: map[string]string{"listeners": two + ",C://h:300", "listener.name.c.kanal.kind": "kafka"}, after: map[string]string{}},
		"setting of a removed": {before: map[string]string{"listeners": "A://h:100"}, after: map[string]string{"listeners": "A://h:100", "listener.name.b.kanal.privileged": "false"}},
		"added one changes":    {before: map[string]string{"listeners": two + ",C://h:300"}, after: map[string]string{"listeners": two + ",C://h:301"}, says: "listener C"},
		"values are checked":   {after: map[string]string{"max.connections": "-1"}, says: "at least 1"},
	} {
		err := CheckBrokerUpdate(frontEnds, c.before, c.after, 1)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeBrokerConfigs(t *testing.T) {
	good, err := decodeBrokerConfigs([]byte(`{"version":1,"configs":{"a":"b"}}`))
	if err != nil || good["a"] != "b" {
		t.Errorf("%v, %v", good, err)
	}
	for _, bad := range []string{``, `null`, `[]`, `{}`, `{"version":2,"configs":{}}`, `{"version":1,"config":{"a":"b"}}`, `{"version":1,"configs":{"a":1}}`, `{"version":1} {}`, `{"version":1`} {
		if got, err := decodeBrokerConfigs([]byte(bad)); err == nil {
			t.Errorf("%s was read as %v", bad, got)
		}
	}
}

// An entry that cannot be read changes nothing, and is known to be there.
func TestBrokerConfigsInTheBucket(t *testing.T) {
	b := newBuilder(&snapshot{})
	if err := b.put(BrokerConfigsKey, []byte(`{"version":1,"configs":{"a":"b"}}`), 5); err != nil {
		t.Fatal(err)
	}
	if err := b.put(BrokerConfigsKey, []byte(`nonsense`), 6); err == nil {
		t.Error("nonsense was read")
	}
	if got := b.snapshot().brokers; got.Values["a"] != "b" || got.Revision != 6 || got.Err == nil {
		t.Errorf("%+v", got)
	}
	b.remove(BrokerConfigsKey, 7)
	if got := b.snapshot().brokers; len(got.Values) != 0 || got.Revision != 7 || got.Err != nil {
		t.Errorf("%+v", got)
	}
}

func FuzzBrokerConfigs(f *testing.F) {
	f.Add([]byte(`{"version":1,"configs":{"listeners":"A://h:1,B://[::1]:2","max.connections.per.ip.overrides":"a:1"}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		configs, err := decodeBrokerConfigs(value)
		if err != nil {
			return
		}
		if CheckBrokerConfigs(configs, 3) == nil && CheckBrokerChange(configs, configs, configs) != nil {
			t.Errorf("%v: no change is refused", configs)
		}
	})
}
