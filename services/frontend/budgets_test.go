package frontend

import (
	"log/slog"
	"math"
	"strings"
	"testing"
)

// The budget of requests is on without being set (unlike I4), and follows the process's memory; what is set stays.
func TestBudgetsFollowMemory(t *testing.T) {
	for _, c := range []struct {
		name                                 string
		memory                               int64
		set                                  map[string]string
		requests, responses, parked, request int64
	}{
		{"a container of 256 MiB", 230 << 20, nil, 230 << 20 / 4, 230 << 20 / 4, 230 << 20 / 16, 230 << 20 / 8},
		{"a tiny one", 32 << 20, nil, 16 << 20, 16 << 20, 4 << 20, 8 << 20},
		{"2 GiB", 2 << 30, nil, 512 << 20, 512 << 20, 128 << 20, 104857600},
		{"a large machine", 256 << 30, nil, 1 << 30, 1 << 30, 256 << 20, 104857600},
		{"set", 2 << 30, map[string]string{"KANAL_QUEUED_MAX_REQUEST_BYTES": "209715200", "KANAL_RESPONSE_MAX_BYTES": "1048576", "KANAL_PARKED_MAX_BYTES": "1"}, 209715200, 1 << 20, 1, 104857600},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parse(t, c.set)
			if err != nil {
				t.Fatal(err)
			}
			got := cfg.withBudgets(c.memory, slog.New(slog.DiscardHandler))
			if got.QueuedMaxRequestBytes != c.requests || got.ResponseMaxBytes != c.responses || got.ParkedMaxBytes != c.parked || int64(got.RequestMaxBytes) != c.request {
				t.Errorf("requests %d, responses %d, parked %d, one request %d", got.QueuedMaxRequestBytes, got.ResponseMaxBytes, got.ParkedMaxBytes, got.RequestMaxBytes)
			}
		})
	}
}

// A limit of descriptors below what is configured is an error that says what to do; without a limit of connections it
// is one (C10).
func TestDescriptorLimit(t *testing.T) {
	cfg := Config{MaxConnections: 1000}
	if err := cfg.checkDescriptors(1000 + ownDescriptors); err != nil {
		t.Error(err)
	}
	err := cfg.checkDescriptors(1000 + ownDescriptors - 1)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"KANAL_MAX_CONNECTIONS", `"1000"`, "at most 999", "1255", "ulimit -n to 1256"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
	cfg.MaxConnections = math.MaxInt32
	for descriptors, want := range map[int]int{100: 1, 1024: 768, 20000: 17500, math.MaxInt32: math.MaxInt32 - math.MaxInt32/8} {
		if err := cfg.checkDescriptors(descriptors); err != nil || cfg.maxConnections(descriptors) != want {
			t.Errorf("%d descriptors: %d connections, %v", descriptors, cfg.maxConnections(descriptors), err)
		}
	}
}
