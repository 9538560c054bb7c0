package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Limits of waiting: far above what a healthy process needs, on a machine that
// is busy with other things and under the race detector.
const (
	StartLimit = 60 * time.Second
	StopLimit  = 45 * time.Second // above KANAL_DRAIN_TIMEOUT
)

// Env is a process's environment, beside PATH and HOME.
type Env map[string]string

// With returns a copy of e with more variables.
func (e Env) With(more Env) Env {
	out := Env{}
	for _, m := range []Env{e, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// Process is a running binary. Its methods may be called from the test's
// goroutine only, but for Log and Ended.
type Process struct {
	Name string
	HTTP string // host:port of its status page, if it was started with one

	cmd   *exec.Cmd
	log   *log
	ended chan struct{}
}

// Start runs a binary until the test ends. Unless env says otherwise it logs
// JSON and serves its status page on a free port.
func Start(t testing.TB, name string, env Env, args ...string) *Process {
	t.Helper()
	return start(t, t, name, env, args...)
}

// start is Start on behalf of t, with a process that lives until owner ends,
// which may be t or the test around it.
func start(t, owner testing.TB, name string, env Env, args ...string) *Process {
	t.Helper()
	return startCommand(t, owner, name, env, exec.Command(Binary(t, name), args...))
}

// startActivated is start with listening sockets as systemd passes them: from
// descriptor 3 on, and in the name of the process itself.
func startActivated(t, owner testing.TB, name string, env Env, files []*os.File) *Process {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, Binary(t, name))
	cmd.ExtraFiles = files
	return startCommand(t, owner, name, env.With(Env{"LISTEN_FDS": strconv.Itoa(len(files))}), cmd)
}

func startCommand(t, owner testing.TB, name string, env Env, cmd *exec.Cmd) *Process {
	t.Helper()
	if _, ok := env["KANAL_HTTP_ADDR"]; !ok {
		env = env.With(Env{"KANAL_HTTP_ADDR": Address(t)})
	}
	p := &Process{Name: name, HTTP: env["KANAL_HTTP_ADDR"], cmd: cmd}
	p.start(t, owner, env)
	return p
}

// StartCommand runs a program that is none of Kanal's binaries in a folder,
// until the test ends. It has no status page.
func StartCommand(t testing.TB, folder string, env Env, name string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, cmd: exec.Command(name, args...)}
	p.cmd.Dir = folder
	p.start(t, t, env)
	return p
}

func (p *Process) start(t, owner testing.TB, env Env) {
	t.Helper()
	p.log, p.ended = new(log), make(chan struct{})
	p.cmd.Env = environ(env)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// Should the test process be killed, so are its children.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.Name, err)
	}
	go func() {
		_ = p.cmd.Wait() // its outcome is in ProcessState
		close(p.ended)
	}()
	owner.Cleanup(func() { p.cleanUp(owner) })
}

func environ(env Env) []string {
	out := []string{"KANAL_LOG_FORMAT=json", "GORACE=halt_on_error=1"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		out = append(out, name+"="+os.Getenv(name))
	}
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	return out
}

// cleanUp ends the process and shows its log if the test has failed.
func (p *Process) cleanUp(t testing.TB) {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	if p.log.raced() {
		t.Errorf("%s: the race detector reported", p)
	}
	if t.Failed() {
		t.Logf("---- log of %s, %s:\n%s", p, p.cmd.ProcessState, tail(p.log.String(), 64<<10))
	}
}

func (p *Process) String() string {
	return fmt.Sprintf("%s[%d]", p.Name, p.cmd.Process.Pid)
}

// ID is the process's number.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Log is what the process wrote until now.
func (p *Process) Log() string { return p.log.String() }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %s to %s: %v", s, p, err)
	}
}

// Kill ends the process as a power cut of the process would: kill -9.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGKILL)
	<-p.ended
}

// Exit waits until the process has ended by itself and returns its exit code,
// -1 for one that a signal ended.
func (p *Process) Exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(StopLimit):
		p.Signal(t, syscall.SIGQUIT) // shows where it hangs
		<-p.ended
		t.Fatalf("%s did not end within %s", p, StopLimit)
		return 0
	}
}

// Stop asks the process to end, which it does in order and with exit code 0.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	p.StopBy(t, syscall.SIGTERM)
}

// StopBy is Stop with a signal of choice.
func (p *Process) StopBy(t testing.TB, s syscall.Signal) {
	t.Helper()
	p.Signal(t, s)
	p.requireStopped(t, s.String())
}

// requireStopped waits until the process has ended in order upon what it was told.
func (p *Process) requireStopped(t testing.TB, s string) {
	t.Helper()
	if code := p.Exit(t); code != 0 {
		t.Fatalf("%s ended with %d after %s", p, code, s)
	}
	if !strings.Contains(p.Log(), "stopped in order") {
		t.Fatalf("%s does not say in its log that it stopped in order", p)
	}
}

// Descriptors counts the open files of the process.
func (p *Process) Descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Poll calls f every few milliseconds until it returns nil, and fails the test
// with its last error when the limit is reached or fatal returns an error.
func Poll(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if stop := (*hopeless)(nil); errors.As(err, &stop) || time.Now().After(deadline) {
			t.Fatalf("%s: %v (waited up to %s)", what, err, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hopeless is an error that no waiting mends.
type hopeless struct{ error }

// Hopeless makes Poll give up at once.
func Hopeless(err error) error { return &hopeless{err} }
