package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// witness sees what a franz-go client hides by trying again: connections that were
// refused or lost, and requests that had no answer.
type witness struct {
	mu      sync.Mutex
	closing bool
	errs    []string
}

var (
	_ kgo.HookBrokerConnect    = (*witness)(nil)
	_ kgo.HookBrokerDisconnect = (*witness)(nil)
	_ kgo.HookBrokerE2E        = (*witness)(nil)
)

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closing {
		w.errs = append(w.errs, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// OnBrokerConnect is kgo's hook.
func (w *witness) OnBrokerConnect(m kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		w.note("connect to broker %d: %v", m.NodeID, err)
	}
}

// OnBrokerDisconnect is kgo's hook.
func (w *witness) OnBrokerDisconnect(m kgo.BrokerMetadata, c net.Conn) {
	w.note("disconnected from broker %d, at %s", m.NodeID, c.LocalAddr())
}

// OnBrokerE2E is kgo's hook.
func (w *witness) OnBrokerE2E(m kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if err := e.Err(); err != nil && !errors.Is(err, context.Canceled) {
		w.note("api %d at broker %d: %v", key, m.NodeID, err)
	}
}

// options make a client watched. It does not close connections by itself.
func (w *witness) options() kgo.Opt { return kgo.WithHooks(w) }

// stop is called before clients close.
func (w *witness) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
}

func (w *witness) requireNothing(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range w.errs {
		if t.Errorf("a client noticed: %s", e); i == 20 {
			t.Fatalf("and %d more", len(w.errs)-i)
		}
	}
}

// asker asks a service the same thing over and over with a client that tries
// nothing again: every error counts.
type asker struct {
	cancel context.CancelFunc
	done   chan struct{}
	asked  int
	err    error
}

func ask(t *testing.T, on target, w *witness, what string, f func(context.Context, *kadm.Client) error) *asker {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := &asker{cancel: cancel, done: make(chan struct{})}
	adm := kadm.NewClient(newClient(t, on, w.options(), kgo.RequestRetries(0), kgo.ConnIdleTimeout(15*time.Minute)))
	go func() {
		defer close(a.done)
		for ; ctx.Err() == nil; a.asked++ {
			if err := f(context.Background(), adm); err != nil {
				a.err = fmt.Errorf("%s, after %d times: %w", what, a.asked, err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-a.done })
	return a
}

func (a *asker) finish(t *testing.T) {
	t.Helper()
	a.cancel()
	<-a.done
	if a.err != nil {
		t.Error(a.err)
	}
}

// kcatLoad is a kcat that produces numbers, one each millisecond, until it is
// finished.
type kcatLoad struct {
	cmd    *exec.Cmd
	stderr output
	done   chan int
	stop   chan struct{}
}

func startKcatLoad(t *testing.T, on target, topic string) *kcatLoad {
	t.Helper()
	l := &kcatLoad{done: make(chan int, 1), stop: make(chan struct{})}
	l.cmd = exec.Command("kcat", "-b", on.bootstrap, "-P", "-t", topic, "-X", "linger.ms=1")
	l.cmd.Stderr = &l.stderr
	in, err := l.cmd.StdinPipe()
	if err == nil {
		err = l.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.cmd.Process.Kill() })
	go l.feed(in)
	return l
}

func (l *kcatLoad) feed(in io.WriteCloser) {
	n := 0
	defer func() { _ = in.Close(); l.done <- n }()
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Millisecond):
		}
		if _, err := fmt.Fprintln(in, n); err != nil {
			return
		}
		n++
	}
}

// finish waits until everything is delivered, and tells how many.
func (l *kcatLoad) finish(t *testing.T) int {
	t.Helper()
	close(l.stop)
	n := <-l.done
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("kcat -P: %v\n%s", err, l.stderr.String())
	}
	requireQuiet(t, "kcat -P", l.stderr.String())
	return n
}

// complaint is a line of librdkafka's log, or of kcat's about an error.
var complaint = regexp.MustCompile(`(?mi)^%\d\|.*$|^.*(error|fail|disconnect).*$`)

func requireQuiet(t *testing.T, who, stderr string) {
	t.Helper()
	if lines := complaint.FindAllString(stderr, 20); lines != nil {
		t.Errorf("%s complained: %q", who, lines)
	}
}

// kcatReader is a kcat that reads a topic as it grows.
type kcatReader struct {
	cmd            *exec.Cmd
	stdout, stderr output
}

func startKcatReader(t *testing.T, on target, topic string) *kcatReader {
	t.Helper()
	r := new(kcatReader)
	r.cmd = exec.Command("kcat", "-b", on.bootstrap, "-C", "-q", "-u", "-t", topic, "-o", "beginning", "-f", "%s\n")
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	return r
}

// requireNumbers waits until the reader has seen 0 to n-1, each once.
func requireNumbers(t *testing.T, who string, n int, stdout func() string, stderr string) {
	t.Helper()
	process.Poll(t, time.Minute, who+" has read everything", func() error {
		return countNumbers([]byte(stdout()), n)
	})
	requireQuiet(t, who, stderr)
}

func countNumbers(out []byte, n int) error {
	seen := make([]int, n)
	for _, s := range bytes.Fields(out[:bytes.LastIndexByte(out, '\n')+1]) {
		i, err := strconv.Atoi(string(s))
		if err != nil || i < 0 || i >= n {
			return process.Hopeless(fmt.Errorf("it read %q of %d numbers: %v", s, n, err))
		}
		seen[i]++
	}
	for i, times := range seen {
		switch {
		case times == 0:
			return fmt.Errorf("%d of %d is missing", i, n)
		case times > 1:
			return process.Hopeless(fmt.Errorf("%d was read %d times", i, times))
		}
	}
	return nil
}
