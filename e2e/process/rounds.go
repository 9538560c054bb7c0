package process

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// long tells whether this is a run of scripts/long.
var long = os.Getenv("KANAL_TEST_LONG") != ""

// Rounds is few in scripts/test and many in scripts/long.
func Rounds(few, many int) int {
	if long {
		return many
	}
	return few
}

// Seed is where a test's randomness starts: KANAL_TEST_SEED, else the clock.
func Seed(t testing.TB) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("KANAL_TEST_SEED"), 10, 64)
	if err != nil {
		n = uint64(time.Now().UnixNano())
	}
	// To standard output too, where scripts show it while the test runs.
	_, _ = os.Stdout.WriteString("seed of " + t.Name() + ": " + strconv.FormatUint(n, 10) + "\n")
	return n
}
