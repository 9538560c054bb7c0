package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// WaitReady waits until the process says that it is ready.
func (p *Process) WaitReady(t testing.TB) {
	t.Helper()
	Poll(t, StartLimit, p.String()+" is ready", func() error {
		select {
		case <-p.ended:
			return Hopeless(errors.New("it has ended: " + p.cmd.ProcessState.String()))
		default:
		}
		body, err := p.get("/readyz")
		if err == nil && strings.TrimSpace(body) != "ready" {
			err = errors.New(body)
		}
		return err
	})
}

func (p *Process) get(path string) (string, error) {
	resp, err := client.Get("http://" + p.HTTP + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// Metric is the sum of a metric's samples that have these labels, given as
// name, value, name, value; 0 if there are none. Of a histogram it is the count.
func (p *Process) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	body, err := p.get("/metrics")
	if err != nil {
		t.Fatalf("read the metrics of %s: %v", p, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("parse the metrics of %s: %v", p, err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		if hasLabels(m, labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func hasLabels(m *dto.Metric, want []string) bool {
	have := map[string]string{}
	for _, l := range m.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(want); i += 2 {
		if have[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}

// dial holds a process to its word: ready means that its ports are open.
func dial(t testing.TB, p *Process, addr string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatalf("%s said that it is ready: %v", p, err)
	}
	_ = c.Close() // nothing was sent
}

// waitListening waits until the process has opened a port.
func (p *Process) waitListening(t testing.TB, port int) {
	t.Helper()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	Poll(t, StartLimit, p.String()+" listens on "+addr, func() error {
		select {
		case <-p.ended:
			return Hopeless(errors.New("it has ended: " + p.Log()))
		default:
		}
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err == nil {
			_ = c.Close() // nothing was sent
		}
		return err
	})
}

// Logged calls f with every line that the process has logged as JSON, as far as
// it is still kept, oldest first.
func (p *Process) Logged(f func(line map[string]any)) {
	for line := range strings.Lines(p.Log()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil {
			f(fields)
		}
	}
}
