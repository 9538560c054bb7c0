package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// TestVersion asks every binary for its version, and has it refuse an argument
// that it does not know.
func TestVersion(t *testing.T) {
	for _, name := range process.Binaries(t) {
		out, err := exec.CommandContext(limited(t, 10*time.Second), process.Binary(t, name), "-version").Output()
		if err != nil || !strings.HasPrefix(string(out), name+" ") || len(strings.Fields(string(out))) < 2 {
			t.Errorf("%s -version printed %q: %v", name, out, err)
		}
		p := process.Start(t, name, nil, "surplus")
		if code := p.Exit(t); code == 0 || !strings.Contains(p.Log(), "surplus") {
			t.Errorf("%s surplus: ended with %d and %q", name, code, p.Log())
		}
	}
	for _, name := range process.Services {
		out, err := exec.CommandContext(limited(t, 10*time.Second), process.Binary(t, name), "-h").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "KANAL_NATS_URL") {
			t.Errorf("%s -h printed %q: %v", name, out, err)
		}
	}
}

// refusals are configurations that standalone must refuse, each with what its
// message must name.
var refusals = []struct {
	name  string
	env   process.Env
	names []string
}{
	{"a listener without a port", process.Env{"KANAL_LISTENERS": "PLAINTEXT://localhost"}, []string{"KANAL_LISTENERS", "PLAINTEXT://localhost"}},
	{"no listener", process.Env{"KANAL_LISTENERS": " "}, []string{"KANAL_LISTENERS"}},
	{"an unknown listener advertised", process.Env{"KANAL_ADVERTISED_LISTENERS": "OTHER://host:1"}, []string{"KANAL_ADVERTISED_LISTENERS", "OTHER"}},
	{"overlapping port ranges", process.Env{"KANAL_BROKERS": "3", "KANAL_LISTENERS": "A://127.0.0.1:19000,B://127.0.0.1:19002"}, []string{"KANAL_LISTENERS", "A://127.0.0.1:19000", "B://127.0.0.1:19002"}},
	{"a frames listener without a handler", process.Env{"KANAL_LISTENER_PLAINTEXT_KIND": "frames"}, []string{"KANAL_LISTENER_PLAINTEXT_HANDLER"}},
	{"no number", process.Env{"KANAL_PROCESSORS": "many"}, []string{"KANAL_PROCESSORS", "many"}},
	{"a bad duration", process.Env{"KANAL_REQUEST_TIMEOUT": "soon"}, []string{"KANAL_REQUEST_TIMEOUT", "soon"}},
	{"a bad yes or no", process.Env{"KANAL_AUTO_CREATE_TOPICS": "perhaps"}, []string{"KANAL_AUTO_CREATE_TOPICS", "perhaps"}},
	{"a log level that does not exist", process.Env{"KANAL_LOG_LEVEL": "loud"}, []string{"KANAL_LOG_LEVEL", "loud"}},
	{"a cluster name with a dot", process.Env{"KANAL_CLUSTER": "a.b"}, []string{"KANAL_CLUSTER", "a.b"}},
	{"many at once", process.Env{"KANAL_BROKERS": "0", "KANAL_NUM_PARTITIONS": "0", "KANAL_LOG_FORMAT": "xml", "KANAL_HTTP_ADDR": "nowhere"},
		[]string{"KANAL_BROKERS", "KANAL_NUM_PARTITIONS", "KANAL_LOG_FORMAT", "KANAL_HTTP_ADDR"}},
}

// TestRefusals starts standalone with bad variables.
func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			s := process.NewStandalone(t, r.env)
			p := process.Start(t, "standalone", s.Env())
			code := p.Exit(t)
			lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
			if code != 2 || len(lines) != 1+countVariables(r.env) {
				t.Errorf("it ended with %d and said, in more or fewer lines than one for each variable:\n%s", code, p.Log())
			}
			for _, want := range r.names {
				if !strings.Contains(p.Log(), want) {
					t.Errorf("the message does not name %s:\n%s", want, p.Log())
				}
			}
		})
	}
}

// countVariables is how many of the variables are wrong on their own.
func countVariables(env process.Env) int {
	if _, ok := env["KANAL_LOG_FORMAT"]; ok {
		return len(env)
	}
	return 1
}

// TestInUse starts standalone where another has what it needs: one message, in
// one line, says what and names the variable to change.
func TestInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	first := process.StartStandalone(t, nil)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(taken)
	for _, c := range []struct {
		name  string
		env   process.Env
		names []string
	}{
		{"kafka port", process.Env{"KANAL_LISTENERS": "PLAINTEXT://" + taken}, []string{"PLAINTEXT", port, "in use"}},
		{"status port", process.Env{"KANAL_HTTP_ADDR": taken}, []string{"KANAL_HTTP_ADDR", taken, "in use"}},
		{"NATS port", process.Env{"KANAL_NATS_LISTEN": taken}, []string{"KANAL_NATS_LISTEN", taken, "in use"}},
		{"data folder", process.Env{"KANAL_DATA_DIR": first.DataDir}, []string{"KANAL_DATA_DIR", first.DataDir, "in use"}},
		{"a file as data folder", process.Env{"KANAL_DATA_DIR": file}, []string{"KANAL_DATA_DIR", file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := process.Start(t, "standalone", process.NewStandalone(t, c.env).Env())
			if code := p.Exit(t); code != 1 {
				t.Errorf("it ended with %d", code)
			}
			message := theError(t, p)
			for _, want := range c.names {
				if !strings.Contains(message, want) {
					t.Errorf("the message does not name %s: %s", want, message)
				}
			}
		})
	}
	// The first one did not mind.
	on := target{first.Bootstrap, 1, first.Process}
	produceNumbers(t, on, newTopic(t, on, 1), 0, 10)
	first.Stop(t)
}

// theError is the one line that a process has logged as an error.
func theError(t *testing.T, p *process.Process) string {
	t.Helper()
	var found []string
	for s := range strings.Lines(p.Log()) {
		var entry struct {
			Level string `json:"level"`
			Err   string `json:"err"`
		}
		if json.Unmarshal([]byte(s), &entry) == nil && entry.Level == "ERROR" {
			found = append(found, entry.Err)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d errors are logged, not one:\n%s", len(found), p.Log())
	}
	return found[0]
}

// TestInterrupt stops a standalone with Ctrl-C's signal while one consumer
// waits and a producer is at work: it ends in order, soon, and what it had
// acknowledged is there at the next start, which finds the folder free.
func TestInterrupt(t *testing.T) {
	s := process.StartStandalone(t, nil)
	on := target{s.Bootstrap, 1, s.Process}
	topic, empty := newTopic(t, on, 3), newTopic(t, on, 1)
	waiting := newClient(t, on, kgo.ConsumeTopics(empty), kgo.FetchMaxWait(30*time.Second))
	go func() {
		for !waiting.PollFetches(context.Background()).IsClientClosed() {
			continue // errors belong to the shutdown
		}
	}()
	l := startLoad(t, on, topic, "load")
	l.advance(t, 100, 3, "before")
	begun := time.Now()
	s.StopBy(t, syscall.SIGINT)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s to end", took)
	}
	s.Start(t)
	l.advance(t, 100, 3, "after the restart")
	l.finish(t)
	l.requireStored(t, on, topic, 3)
	s.Stop(t)
}

// TestReadyInAMoment holds the first start, on an empty folder, to about a
// second; the limit leaves room for a busy machine and the race detector.
func TestReadyInAMoment(t *testing.T) {
	begun := time.Now()
	s := process.StartStandalone(t, nil)
	took := time.Since(begun)
	fmt.Printf("first start: ready after %s\n", took.Round(time.Millisecond))
	if took > 15*time.Second {
		t.Errorf("ready after %s", took)
	}
	if !strings.Contains(s.Log(), "kcat -b ") {
		t.Error("the log does not say how to try it")
	}
	s.Stop(t)
}
