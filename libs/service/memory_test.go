package service

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// GOMEMLIMIT follows the cgroup, unless it is set.
func TestFollowMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for _, c := range []struct {
		name, env string
		cgroup    memlimit.Provider
		want      int64
		log       string
	}{
		{"cgroup", "", memlimit.Limit(1000 << 20), 900 << 20, "source=cgroup"},
		{"cgroup without limit", "", none, math.MaxInt64, "source=none"},
		{"cgroup that cannot be read", "", func() (uint64, error) { return 0, os.ErrNotExist }, math.MaxInt64, "source=none"},
		{"set", "123MiB", memlimit.Limit(1000 << 20), math.MaxInt64, "source=GOMEMLIMIT value=123MiB"}, // the runtime has read it before
	} {
		t.Run(c.name, func(t *testing.T) {
			debug.SetMemoryLimit(math.MaxInt64)
			if c.env != "" {
				t.Setenv("GOMEMLIMIT", c.env)
			}
			var out bytes.Buffer
			followMemoryLimit(c.cgroup, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if got := debug.SetMemoryLimit(-1); got != c.want {
				t.Errorf("limit %d, want %d", got, c.want)
			}
			if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), c.log) {
				t.Errorf("logged %q, want once %q", out.String(), c.log)
			}
			machine, err := memlimit.FromSystem()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := MemoryLimit(), min(c.want, int64(float64(machine)*memoryRatio)); got != want {
				t.Errorf("memory of %d, want %d", got, want)
			}
		})
	}
}
