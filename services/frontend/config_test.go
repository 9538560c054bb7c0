package frontend

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"kanal/libs/service"
	"kanal/libs/socketserver"
	"kanal/libs/ssl/ssltest"
)

// parse reads the configuration from variables on top of the defaults.
func parse(t *testing.T, variables map[string]string) (Config, error) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	var cfg Config
	err := service.Parse(&cfg)
	return cfg, err
}

func TestDefaultsAreValid(t *testing.T) {
	cfg, err := parse(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := cfg.listeners()
	if err != nil || len(ls) != 1 || ls[0].Host != "localhost" || ls[0].Port != 9092 || ls[0].Kind != socketserver.KindKafka {
		t.Fatalf("%+v, %v", ls, err)
	}
}

func TestListeners(t *testing.T) {
	cfg, err := parse(t, map[string]string{
		"KANAL_LISTENERS":                  "plaintext://:9092,ECHO://[::1]:7000,INSIDE://10.0.0.1:19092",
		"KANAL_ADVERTISED_LISTENERS":       "PLAINTEXT://kafka.example.com:443",
		"KANAL_LISTENER_ECHO_KIND":         "frames",
		"KANAL_LISTENER_ECHO_HANDLER":      "echo",
		"KANAL_LISTENER_INSIDE_PRIVILEGED": "true",
		"KANAL_BROKERS":                    "3",
	})
	if err != nil {
		t.Fatal(err)
	}
	ls, err := cfg.listeners()
	if err != nil {
		t.Fatal(err)
	}
	if ls[0].Name != "PLAINTEXT" || ls[0].Host != "" || ls[0].Brokers != 3 || ls[0].advertised.Host != "kafka.example.com" || ls[0].advertised.Port != 443 {
		t.Errorf("%+v", ls[0])
	}
	if ls[1].Host != "::1" || ls[1].Kind != socketserver.KindFrames || ls[1].Handler != "echo" || ls[1].Brokers != 1 {
		t.Errorf("%+v", ls[1])
	}
	if !ls[2].Privileged || ls[2].advertised.Host != "10.0.0.1" {
		t.Errorf("%+v", ls[2])
	}
}

// Everything wrong is named at once, with variable, value and what is allowed.
func TestErrorsNameTheVariable(t *testing.T) {
	for _, c := range []struct {
		name, value string
		mention     []string
	}{
		{"KANAL_LISTENERS", "localhost:9092", []string{"KANAL_LISTENERS", "localhost:9092", "NAME://host:port"}},
		{"KANAL_LISTENERS", "A://h:99999", []string{"KANAL_LISTENERS", "A://h:99999"}},
		{"KANAL_LISTENERS", "", []string{"KANAL_LISTENERS", "at least one"}},
		{"KANAL_LISTENERS", "A://h:1,A://h:2", []string{"A is named twice"}},
		{"KANAL_LISTENERS", "A://h:9092,B://h:9092", []string{"A://h:9092", "B://h:9092", "overlap"}},
		{"KANAL_ADVERTISED_LISTENERS", "X://h:1", []string{"KANAL_ADVERTISED_LISTENERS", "X://h:1"}},
		{"KANAL_LISTENER_PLAINTEXT_KIND", "http", []string{"KANAL_LISTENER_PLAINTEXT_KIND", "http", "kafka or frames"}},
		{"KANAL_LISTENER_PLAINTEXT_KIND", "frames", []string{"KANAL_LISTENER_PLAINTEXT_HANDLER"}},
		{"KANAL_LISTENER_PLAINTEXT_PROTOCOL", "TLS", []string{"KANAL_LISTENER_PLAINTEXT_PROTOCOL", "TLS", "SASL_SSL"}},
		{"KANAL_BROKERS", "0", []string{"KANAL_BROKERS", "1 to 1000"}},
		{"KANAL_BROKERS", "many", []string{"KANAL_BROKERS", "many", "whole number"}},
		{"KANAL_REQUEST_TIMEOUT", "30", []string{"KANAL_REQUEST_TIMEOUT", "30", "duration"}},
		{"KANAL_SOCKET_SEND_BUFFER_BYTES", "0", []string{"KANAL_SOCKET_SEND_BUFFER_BYTES", "-1"}},
		{"KANAL_MAX_CONNECTIONS", "0", []string{"KANAL_MAX_CONNECTIONS", "at least 1"}},
		{"KANAL_MAX_CONNECTIONS_ACTION", "panic", []string{"KANAL_MAX_CONNECTIONS_ACTION", "panic", "wait or refuse"}},
		{"KANAL_MAX_CONNECTIONS_PER_IP", "0", []string{"KANAL_MAX_CONNECTIONS_PER_IP", "OVERRIDES"}},
		{"KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES", "a:1,b", []string{"KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES", "b", "host:count"}},
		{"KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES", "a:-1", []string{"KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES", "a:-1"}},
		{"KANAL_MAX_CONNECTION_CREATION_RATE", "0", []string{"KANAL_MAX_CONNECTION_CREATION_RATE"}},
		{"KANAL_CONNECTION_CREATION_BURST_PER_IP", "-1", []string{"KANAL_CONNECTION_CREATION_BURST_PER_IP"}},
		{"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTIONS", "0", []string{"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTIONS", "at least 1"}}, // D15
		{"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTIONS", "many", []string{"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTIONS", "many", "whole number"}},
		{"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTION_CREATION_RATE", "-1", []string{"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTION_CREATION_RATE"}},
		{"KANAL_LISTENER_PLAINTEXT_PRIVILEGED", "maybe", []string{"KANAL_LISTENER_PLAINTEXT_PRIVILEGED", "maybe", "true or false"}},
		{"KANAL_CLUSTER", "a.b", []string{"KANAL_CLUSTER", "a.b", "letters"}},
		{"KANAL_QUEUED_MAX_REQUEST_BYTES", "10", []string{"KANAL_QUEUED_MAX_REQUEST_BYTES", "KANAL_REQUEST_MAX_BYTES"}}, // I5
		{"KANAL_PARKED_MAX_BYTES", "-1", []string{"KANAL_PARKED_MAX_BYTES", "0: a share"}},
		{"KANAL_RESPONSE_MAX_BYTES", "10", []string{"KANAL_RESPONSE_MAX_BYTES", "0: a share"}},
		{"KANAL_MAX_CONNECTIONS", "2147483646", []string{"KANAL_MAX_CONNECTIONS", "2147483646", "ulimit -n"}},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			if c.value == "" {
				t.Setenv(c.name, " ")
				c.value = " "
			}
			_, err := parse(t, map[string]string{c.name: c.value})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, m := range c.mention {
				if !strings.Contains(err.Error(), m) {
					t.Errorf("%q does not mention %q", err, m)
				}
			}
		})
	}
}

// Row D3 and section 2.2: the defaults are without limit, host names stand for all their addresses, 0 is nobody.
func TestQuotas(t *testing.T) {
	cfg, err := parse(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if q, err := cfg.quotas(t.Context()); err != nil || !reflect.DeepEqual(q, socketserver.Quotas{MaxConnections: cfg.maxConnections(descriptorLimit()), PerIP: map[netip.Addr]int{}}) {
		t.Errorf("%+v, %v", q, err)
	}
	cfg, err = parse(t, map[string]string{
		"KANAL_MAX_CONNECTIONS": "100", "KANAL_MAX_CONNECTIONS_ACTION": "refuse", "KANAL_MAX_CONNECTIONS_PER_IP": "0",
		"KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES": "10.0.0.7:3, [fd00::7]:4,localhost:0",
		"KANAL_MAX_CONNECTION_CREATION_RATE":     "50", "KANAL_MAX_CONNECTION_CREATION_BURST": "5",
		"KANAL_CONNECTION_CREATION_RATE_PER_IP":    "7",
		"KANAL_LISTENER_PLAINTEXT_MAX_CONNECTIONS": "9", "KANAL_LISTENER_PLAINTEXT_MAX_CONNECTION_CREATION_RATE": "8",
		"KANAL_CONNECTIONS_MAX_IDLE": "-1s", "KANAL_FIRST_BYTE_TIMEOUT": "2s", "KANAL_WRITE_TIMEOUT": "3s",
	})
	if err != nil {
		t.Fatal(err)
	}
	q, err := cfg.quotas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"10.0.0.7": 3, "fd00::7": 4, "127.0.0.1": 0} {
		if got, ok := q.PerIP[netip.MustParseAddr(host)]; !ok || got != want {
			t.Errorf("%s may have %d (%v), want %d", host, got, ok, want)
		}
	}
	q.PerIP = nil
	want := socketserver.Quotas{
		MaxConnections: 100, MaxPerIP: -1, Refuse: true,
		Rate: socketserver.Rate{PerSecond: 50, Burst: 5}, RatePerIP: socketserver.Rate{PerSecond: 7},
	}
	if !reflect.DeepEqual(q, want) {
		t.Errorf("%+v, want %+v", q, want)
	}
	ls, err := cfg.listeners()
	if err != nil {
		t.Fatal(err)
	}
	l := ls[0]
	if l.Quotas != (socketserver.ListenerQuotas{MaxConnections: 9, Rate: socketserver.Rate{PerSecond: 8}}) ||
		l.MaxIdle != -time.Second || l.FirstRequestTimeout != 2*time.Second || l.WriteTimeout != 3*time.Second || l.SendBuffer != -1 {
		t.Errorf("%+v", l.ListenerConfig)
	}
	cfg.MaxConnectionsPerIPOverrides = "no-such-host.invalid:1"
	if _, err := cfg.quotas(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Errorf("a host that does not exist: %v", err)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := parse(t, map[string]string{"KANAL_BROKERS": "0", "KANAL_LISTEN_BACKLOG": "-1", "KANAL_LISTENERS": "x"})
	for _, m := range []string{"KANAL_BROKERS", "KANAL_LISTEN_BACKLOG", "KANAL_LISTENERS"} {
		if err == nil || !strings.Contains(err.Error(), m) {
			t.Errorf("%v does not mention %s", err, m)
		}
	}
}

// With three brokers a listener takes its port and three more.
func TestPortRangesOfBrokersOverlap(t *testing.T) {
	_, err := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:9092,B://h:9095", "KANAL_BROKERS": "3"})
	if err == nil || !strings.Contains(err.Error(), "A://h:9092 and B://h:9095 overlap") {
		t.Fatal(err)
	}
	if _, err := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:9092,B://h:9096", "KANAL_BROKERS": "3"}); err != nil {
		t.Fatal(err)
	}
}

func FuzzEndpoints(f *testing.F) {
	f.Add("PLAINTEXT://localhost:9092,B://[::1]:1")
	f.Fuzz(func(t *testing.T, s string) {
		es, err := parseEndpoints("V", s)
		for _, e := range es {
			if again, err2 := parseEndpoints("V", e.String()); err == nil && (err2 != nil || len(again) != 1 || again[0] != e) {
				t.Fatalf("%q read as %v, then as %v (%v)", s, e, again, err2)
			}
		}
	})
}

// Everything wrong with a listener's login is named at once, and nothing of it on listeners without (K5, N11).
func TestSASLConfiguration(t *testing.T) {
	bad := map[string]string{
		"SASL_MECHANISMS": "PLAIN,GSSAPI,PLAIN,OAUTHBEARER", "SASL_MAX_REAUTH": "-1s", "SASL_MAX_RECEIVE_BYTES": "1023",
		"SASL_FAILURE_DELAY": "10m", "SASL_APIS_BEFORE_LOGIN": "none", "SASL_OAUTHBEARER_JWKS": "",
		"SASL_OAUTHBEARER_JWKS_REFRESH": "1ms", "SASL_OAUTHBEARER_CLOCK_SKEW": "-1s", "SASL_OAUTHBEARER_SUB_CLAIM": "",
	}
	variables := map[string]string{}
	for name, value := range bad {
		variables["KANAL_LISTENER_PLAINTEXT_"+name] = value
	}
	if _, err := parse(t, variables); err != nil {
		t.Fatalf("without a login: %v", err)
	}
	variables["KANAL_LISTENER_PLAINTEXT_PROTOCOL"] = "SASL_PLAINTEXT"
	_, err := parse(t, variables)
	if err == nil {
		t.Fatal("taken")
	}
	for name := range bad {
		if name != "SASL_OAUTHBEARER_SUB_CLAIM" && !strings.Contains(err.Error(), "KANAL_LISTENER_PLAINTEXT_"+name) { // empty is the default
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	if !strings.Contains(err.Error(), "GSSAPI") || !strings.Contains(err.Error(), "KANAL_CONNECTIONS_MAX_IDLE") {
		t.Error(err)
	}
}

func TestNoLoginForFrames(t *testing.T) {
	_, err := parse(t, map[string]string{
		"KANAL_LISTENER_PLAINTEXT_PROTOCOL": "SASL_PLAINTEXT", "KANAL_LISTENER_PLAINTEXT_KIND": "frames", "KANAL_LISTENER_PLAINTEXT_HANDLER": "echo",
	})
	if err == nil || !strings.Contains(err.Error(), "kind frames") {
		t.Error(err)
	}
}

// Everything wrong with a listener's TLS and with its PROXY headers is named at once, by the variable that was set, and
// nothing of TLS on listeners without.
func TestTLSAndProxyConfiguration(t *testing.T) {
	bad := map[string]string{
		"KANAL_SSL_CERTIFICATE_FILE":                           "/nowhere/cert.pem",
		"KANAL_LISTENER_PLAINTEXT_SSL_TRUSTED_FILE":            "/nowhere/ca.pem",
		"KANAL_LISTENER_PLAINTEXT_SSL_CLIENT_AUTH":             "maybe",
		"KANAL_SSL_ENABLED_PROTOCOLS":                          "TLSv1.1",
		"KANAL_LISTENER_PLAINTEXT_SSL_CIPHER_SUITES":           "ROT13",
		"KANAL_LISTENER_PLAINTEXT_SSL_PRINCIPAL_MAPPING_RULES": "RULE:x",
	}
	if _, err := parse(t, bad); err != nil {
		t.Fatalf("without TLS: %v", err)
	}
	_, err := parse(t, map[string]string{"KANAL_LISTENER_PLAINTEXT_PROTOCOL": "SSL", "KANAL_LISTENER_PLAINTEXT_PROXY_PROTOCOL": "always"})
	bad["KANAL_LISTENER_PLAINTEXT_PROXY_PROTOCOL"] = "always"
	for name, value := range bad {
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), value) {
			t.Errorf("%s=%s is not named in %v", name, value, err)
		}
	}
}

// Values that are not of their type, too.
func TestUnreadableTLSAndProxyVariables(t *testing.T) {
	bad := map[string]string{
		"KANAL_LISTENER_PLAINTEXT_SSL_ALLOW_DN_CHANGES": "perhaps", "KANAL_LISTENER_PLAINTEXT_SSL_ALLOW_SAN_CHANGES": "sometimes",
		"KANAL_LISTENER_PLAINTEXT_PROXY_TRUSTED": "10.0.0.7",
	}
	_, err := parse(t, bad)
	for name, value := range bad {
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), value) {
			t.Errorf("%s=%s is not named in %v", name, value, err)
		}
	}
	_, err = parse(t, map[string]string{"KANAL_SSL_ALLOW_DN_CHANGES": "perhaps", "KANAL_HANDSHAKE_TIMEOUT": "soon"})
	for _, name := range []string{"KANAL_SSL_ALLOW_DN_CHANGES", "KANAL_HANDSHAKE_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}

// PROXY headers need somebody to be trusted with them.
func TestProxyNeedsTrust(t *testing.T) {
	for _, mode := range []string{"accept", "require"} {
		t.Setenv("KANAL_LISTENER_PLAINTEXT_PROXY_PROTOCOL", mode)
		t.Setenv("KANAL_LISTENER_PLAINTEXT_PROXY_TRUSTED", "")
		if _, err := parse(t, nil); err == nil || !strings.Contains(err.Error(), "KANAL_LISTENER_PLAINTEXT_PROXY_TRUSTED") {
			t.Errorf("%s: %v", mode, err)
		}
		cfg, err := parse(t, map[string]string{"KANAL_LISTENER_PLAINTEXT_PROXY_TRUSTED": "10.0.0.0/8,fd00::7/128"})
		if err != nil {
			t.Fatal(err)
		}
		ls, err := cfg.listeners()
		if err != nil || ls[0].Proxy.Mode != proxyModes[mode] || len(ls[0].Proxy.Trusted) != 2 {
			t.Errorf("%+v, %v", ls, err)
		}
	}
}

// P16, testListenerConfigOverride: a listener's own settings come before those of all; a listener with a login takes
// only its own client.auth.
func TestListenersTLSOverrides(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	certificate, key := ssltest.Write(t, t.TempDir(), authority.Issue(t, "server", nil))
	cfg, err := parse(t, map[string]string{
		"KANAL_LISTENERS":           "A://h:1,B://h:2,C://h:3",
		"KANAL_LISTENER_A_PROTOCOL": "SSL", "KANAL_LISTENER_B_PROTOCOL": "SSL", "KANAL_LISTENER_C_PROTOCOL": "SASL_SSL",
		"KANAL_SSL_CERTIFICATE_FILE": certificate, "KANAL_SSL_KEY_FILE": key,
		"KANAL_SSL_CLIENT_AUTH": "required", "KANAL_SSL_ENABLED_PROTOCOLS": "TLSv1.3",
		"KANAL_LISTENER_B_SSL_CLIENT_AUTH": "none", "KANAL_LISTENER_B_SSL_ENABLED_PROTOCOLS": "TLSv1.2,TLSv1.3",
	})
	if err != nil {
		t.Fatal(err)
	}
	ls, err := cfg.listeners()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		auth      string
		protocols int
	}{{"required", 1}, {"none", 2}, {"", 1}} {
		if got := ls[i].TLS; got.ClientAuth != want.auth || len(got.EnabledProtocols) != want.protocols || got.CertificateFile != certificate {
			t.Errorf("%s: %+v", ls[i].Name, got)
		}
	}
}
