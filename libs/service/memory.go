package service

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryRatio is how much of the memory that a process may have Go's heap is to stay below.
const memoryRatio = 0.9

// followMemoryLimit sets GOMEMLIMIT to nine tenths of what the process's cgroup allows, so that a container's limit
// makes the collector work harder before it kills. A GOMEMLIMIT in the environment wins.
func followMemoryLimit(cgroup memlimit.Provider, log *slog.Logger) {
	if value, set := os.LookupEnv("GOMEMLIMIT"); set {
		log.Info("memory limit", "source", "GOMEMLIMIT", "value", value, "bytes", debug.SetMemoryLimit(-1))
		return
	}
	limit, err := memlimit.ApplyRatio(cgroup, memoryRatio)()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit):
		log.Debug("memory limit", "source", "none")
	case err != nil:
		log.Debug("memory limit", "source", "none", "err", err) // no cgroups on this machine
	default:
		debug.SetMemoryLimit(int64(min(limit, math.MaxInt64)))
		log.Info("memory limit", "source", "cgroup", "bytes", limit)
	}
}

// MemoryLimit is how many bytes the process may use: GOMEMLIMIT, which follows the cgroup; else nine tenths of what the
// machine has. Budgets are shares of it.
func MemoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	limit, err := memlimit.ApplyRatio(memlimit.FromSystem, memoryRatio)()
	if err != nil {
		return 1 << 30 // a machine that does not tell
	}
	return int64(min(limit, math.MaxInt64))
}
