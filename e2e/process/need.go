package process

import (
	"os"
	"os/exec"
	"testing"
)

// Need finds a program. A test is skipped where it is missing, which in CI is a
// failure.
func Need(t testing.TB, program string) (path string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI=true", program)
	}
	t.Skipf("%s is missing", program)
	return ""
}
