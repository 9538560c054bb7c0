package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type example struct {
	Common
	Inner  inner
	Number int           `env:"EXAMPLE_NUMBER" envDefault:"1"`
	Wait   time.Duration `env:"EXAMPLE_WAIT" envDefault:"1s"`
}

type inner struct {
	Deep bool `env:"EXAMPLE_DEEP" envDefault:"true"`
}

func (e example) Validate() error {
	if e.Number < 1 {
		return errors.Join(e.Common.Validate(), Invalid("EXAMPLE_NUMBER", e.Number, "at least 1"))
	}
	return e.Common.Validate()
}

// What cannot be read is named by its variable, wherever its field is, and all
// at once.
func TestParseNamesEveryVariable(t *testing.T) {
	for name, value := range map[string]string{"EXAMPLE_NUMBER": "x", "EXAMPLE_WAIT": "5", "EXAMPLE_DEEP": "perhaps", "KANAL_LOG_LEVEL": "loud"} {
		t.Setenv(name, value)
	}
	err := Parse(new(Process), new(example))
	for _, want := range []string{`EXAMPLE_NUMBER is "x"`, `EXAMPLE_WAIT is "5"`, `EXAMPLE_DEEP is "perhaps"`, `KANAL_LOG_LEVEL is "loud"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

// One variable that cannot be read does not hide what is wrong with others.
func TestParseAndValidateTogether(t *testing.T) {
	t.Setenv("EXAMPLE_NUMBER", "x")
	t.Setenv("KANAL_CLUSTER", "a b")
	err := Parse(new(example))
	if err == nil || !strings.Contains(err.Error(), "KANAL_CLUSTER") || strings.Count(err.Error(), "EXAMPLE_NUMBER") != 1 {
		t.Fatal(err)
	}
}

// A variable that several configurations share is reported once.
func TestParseReportsOnce(t *testing.T) {
	t.Setenv("KANAL_CLUSTER", "a b")
	err := Parse(new(example), new(example))
	if err == nil || strings.Count(err.Error(), "KANAL_CLUSTER") != 1 {
		t.Fatal(err)
	}
}

func TestReadiness(t *testing.T) {
	var r Readiness
	r.Waiting("b", "late")
	r.Waiting("a", "slow")
	r.Waiting("a", "slower")
	if got := strings.Join(r.Missing(), "; "); got != "a: slower; b: late" {
		t.Fatal(got)
	}
	r.Done("a")
	r.Done("b")
	if len(r.Missing()) != 0 {
		t.Fatal(r.Missing())
	}
}

type runner func(context.Context) error

func (r runner) Run(ctx context.Context) error { return r(ctx) }

// When one service fails the others stop, and its error is the group's.
func TestGroupStopsTogether(t *testing.T) {
	broken := errors.New("broken")
	waits := runner(func(ctx context.Context) error { <-ctx.Done(); return nil })
	err := Group(context.Background(), waits, runner(func(context.Context) error { return broken }), waits)
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestStatusPort(t *testing.T) {
	reg := prometheus.NewRegistry()
	registerBuildInfo(reg)
	ready := new(Readiness)
	w, err := listen("127.0.0.1:0", http.NewServeMux(), reg, ready)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(w.listener.Addr().String(), http.NewServeMux(), reg, ready); err == nil || !strings.Contains(err.Error(), "KANAL_HTTP_ADDR") {
		t.Fatal("a port in use:", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + w.listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	ready.Waiting("nats", "away")
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "nats: away") {
		t.Fatal(code, body)
	}
	if answer, err := askReady(w.listener.Addr().String()); err == nil || !strings.Contains(answer, "nats: away") {
		t.Fatal(answer, err)
	}
	ready.Done("nats")
	if code, _ := get("/readyz"); code != 200 {
		t.Fatal(code)
	}
	if answer, err := askReady(w.listener.Addr().String()); err != nil || answer != "ready\n" {
		t.Fatal(answer, err)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, `kanal_build_info{`) {
		t.Fatal(code, body)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Fatal(code)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
