package suite

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"

	"kanal/e2e/process"
	"kanal/libs/service"
	"kanal/services/standalone"
)

// metricRow is a row of the table: | `name` | `label`, `label` | unit | meaning | Kafka's name |.
var metricRow = regexp.MustCompile("(?m)^\\| `(kanal_[a-z0-9_]+)` \\|([^|]*)\\|([^|]*)\\|([^|]*)\\|([^|]*)\\|$")

// TestMetricsAreDocumented holds docs/metrics.md against the code: every metric that a whole Kanal registers has a row
// with its labels, and every row a metric. What was never observed has no series yet, so registering counts, not the
// scrape.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(process.Root(t), "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range metricRow.FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = labelNames(m[2])
		for i, cell := range m[3:] {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("cell %d of the row of %s is empty", i+3, m[1])
			}
		}
	}
	registered := registeredMetrics(t)
	for name, labels := range registered {
		if row, ok := rows[name]; !ok {
			t.Errorf("%s has no row; its labels are %q", name, labels)
		} else if row != labels {
			t.Errorf("%s has the labels %q, its row says %q", name, labels, row)
		}
	}
	for name := range rows {
		if _, ok := registered[name]; !ok && name != "kanal_build_info" { // the process's own
			t.Errorf("%s has a row, and nobody registers it", name)
		}
	}
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

func labelNames(cell string) string {
	var names []string
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// registeredMetrics are the labels by metric that a standalone registers.
func registeredMetrics(t *testing.T) map[string]string {
	t.Helper()
	cfg := standalone.Config{}
	err := env.ParseWithOptions(&cfg, env.Options{Environment: map[string]string{
		"KANAL_DATA_DIR": t.TempDir(), "KANAL_NATS_LISTEN": "127.0.0.1:0", "KANAL_LISTENERS": "PLAINTEXT://127.0.0.1:0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	noted := &notingRegisterer{Registerer: prometheus.NewRegistry(), labels: map[string]string{}}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	s, err := standalone.New(ctx, cfg, "", service.Deps{Log: slog.New(slog.DiscardHandler), Metrics: noted, Ready: new(service.Readiness)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.FrontEnd().Opened():
	case <-ctx.Done():
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return noted.labels
}

// notingRegisterer notes what is registered.
type notingRegisterer struct {
	prometheus.Registerer
	mu     sync.Mutex
	labels map[string]string
}

func (n *notingRegisterer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := n.Register(c); err != nil {
			panic(err)
		}
	}
}

// A Desc tells its name and labels in no other way than by String.
var (
	descName   = regexp.MustCompile(`fqName: "([^"]+)"`)
	descLabels = regexp.MustCompile(`constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)(?:=("[^"]*"))?`)
)

func (n *notingRegisterer) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	n.mu.Lock()
	defer n.mu.Unlock()
	for d := range descs {
		var names []string
		labels := descLabels.FindStringSubmatch(d.String())
		for _, m := range labelName.FindAllStringSubmatch(labels[1]+","+labels[2], -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		n.labels[descName.FindStringSubmatch(d.String())[1]] = strings.Join(names, " ")
	}
	return n.Registerer.Register(c)
}
