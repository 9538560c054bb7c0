package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Services are the binaries that take their configuration from the environment
// and run until they are told to stop.
var Services = []string{"standalone", "frontend", "metadata", "records", "groups", "echo"}

// Binaries are the names of all that is built from services/*/cmd/*.
func Binaries(t testing.TB) (names []string) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(Root(t), "services", "*", "cmd", "*"))
	if err != nil || len(folders) < len(Services) {
		t.Fatalf("found the commands %v: %v", folders, err)
	}
	for _, folder := range folders {
		names = append(names, filepath.Base(folder))
	}
	return names
}

// temporary is the folder that built has made; Main removes it.
var temporary string

// built builds every binary once per test process.
var built = sync.OnceValues(func() (folder string, err error) {
	if folder = os.Getenv("KANAL_TEST_BIN"); folder != "" {
		return folder, nil
	}
	root, err := root()
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp("", "kanal-bin-"); err != nil {
		return "", err
	}
	temporary = folder
	commands, err := filepath.Glob(filepath.Join(root, "services", "*", "cmd", "*"))
	if err != nil {
		return "", err
	}
	args := []string{"build", "-o", folder}
	if raceFlag != "" {
		args = append(args, raceFlag)
	}
	cmd := exec.Command("go", append(args, commands...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stderr, os.Stderr
	return folder, cmd.Run()
})

// Future before a service's name is its binary as of a later release: built with
// the tag future, which adds to what is sent and stored (libs/future).
const Future = "future" + string(filepath.Separator)

// inFuture are the services that are built so.
var inFuture = []string{"frontend", "metadata", "records", "groups"}

// builtFuture builds them, unless KANAL_TEST_BIN has them.
var builtFuture = sync.OnceValue(func() error {
	folder, err := built()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, Future+inFuture[0])); err == nil && temporary == "" {
		return nil
	}
	root, err := root()
	if err != nil {
		return err
	}
	args := []string{"build", "-tags", "future", "-o", filepath.Join(folder, Future) + string(filepath.Separator)}
	if raceFlag != "" {
		args = append(args, raceFlag)
	}
	for _, name := range inFuture {
		args = append(args, "./"+filepath.Join("services", name, "cmd", name))
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stderr, os.Stderr
	return cmd.Run()
})

// root is the folder of go.work.
func root() (string, error) {
	out, err := exec.Command("go", "env", "GOWORK").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
}

// Root is the folder of go.work.
func Root(t testing.TB) string {
	t.Helper()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// Binary is the path of a binary: of KANAL_TEST_BIN if that is set, else built
// here, with the race detector if the test has it.
func Binary(t testing.TB, name string) string {
	t.Helper()
	folder, err := built()
	if err != nil {
		t.Fatalf("build the binaries: %v", err)
	}
	if strings.HasPrefix(name, Future) {
		if err := builtFuture(); err != nil {
			t.Fatalf("build the binaries of a later release: %v", err)
		}
	}
	return filepath.Join(folder, name)
}

// Main runs the tests of a package and removes what Binary built. Where the
// process was started as a NATS server it is that instead.
func Main(m *testing.M) int {
	if role := os.Getenv(natsRole); role != "" {
		return serveNATS(role)
	}
	code := m.Run()
	if temporary != "" {
		_ = os.RemoveAll(temporary) // among temporary files anyway
	}
	return code
}
