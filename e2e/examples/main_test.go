// Package examples runs what examples/ has, handlers in languages other than
// Go, against a real front end.
package examples

import (
	"os"
	"os/exec"
	"testing"

	"kanal/e2e/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// python finds Python; a test is skipped where it is missing, which in CI is a
// failure.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("python3 is missing, and CI=true")
	}
	t.Skip("python3 is missing")
	return ""
}
