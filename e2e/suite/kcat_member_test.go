package suite

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kanal/e2e/process"
)

// member is a kcat -G that runs until leave or the end of the test.
type member struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// output collects what a process writes, for readers meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func startMember(t *testing.T, on target, group, topic string, args ...string) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{ended: make(chan struct{})}
	all := []string{"-b", on.bootstrap, "-G", group, "-u", "-f", "%p %o %s\n", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=10000"}
	m.cmd = exec.CommandContext(ctx, "kcat", append(append(all, args...), topic)...)
	m.cmd.Stdout, m.cmd.Stderr = &m.stdout, &m.stderr
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = m.cmd.Wait() // leave looks at ProcessState
		close(m.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-m.ended
		if t.Failed() {
			t.Logf("---- a member's standard error:\n%s", m.stderr.String())
		}
	})
	return m
}

// lines are the whole lines printed until now.
func (m *member) lines(t *testing.T) (out []line) {
	t.Helper()
	all := strings.Split(m.stdout.String(), "\n")
	for _, s := range all[:len(all)-1] {
		out = append(out, parseLine(t, s))
	}
	return out
}

func (m *member) waitFor(t *testing.T, from, to int) {
	t.Helper()
	process.Poll(t, time.Minute, "the member has seen all messages", func() error {
		return missing(m.lines(t), from, to)
	})
}

var (
	rebalance = regexp.MustCompile(`(?m)^% Group .* rebalanced \(memberid .*\): (assigned|revoked):(.*)$`)
	partition = regexp.MustCompile(`\[(\d+)\]`)
)

// assigned are the partitions that the member has now, as it says itself.
func (m *member) assigned() (out []string) {
	all := rebalance.FindAllStringSubmatch(m.stderr.String(), -1)
	if len(all) == 0 || all[len(all)-1][1] == "revoked" {
		return nil
	}
	for _, p := range partition.FindAllStringSubmatch(all[len(all)-1][2], -1) {
		out = append(out, p[1])
	}
	return out
}

// kill ends the member without a word to its group.
func (m *member) kill(t *testing.T) {
	t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-m.ended
}

// leave ends the member as Ctrl-C does, upon which it leaves its group.
func (m *member) leave(t *testing.T) {
	t.Helper()
	if err := m.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the member did not end")
	}
}
