package tools

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
	"kanal/libs/service"
	"kanal/services/echo"
	"kanal/services/loadgen"
	"kanal/services/standalone"
)

const brokers = 3

// startStandalone runs all of Kanal in this process until the test ends: three
// brokers, topics of six partitions, and a listener for frames that an instance
// of echo answers. It gives the addresses for Kafka and for frames.
func startStandalone(t *testing.T) (kafka, frames string) {
	t.Helper()
	port, natsAddr := process.Ports(t, 2*(brokers+1)), process.Address(t)
	kafka, frames = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+brokers+1)
	for name, value := range map[string]string{
		"KANAL_LISTENERS":               "PLAINTEXT://" + kafka + ",FRAMES://" + frames,
		"KANAL_LISTENER_FRAMES_KIND":    "frames",
		"KANAL_LISTENER_FRAMES_HANDLER": "echo",
		"KANAL_BROKERS":                 fmt.Sprint(brokers),
		"KANAL_NUM_PARTITIONS":          "6",
		"KANAL_NATS_LISTEN":             natsAddr,
		"KANAL_DATA_DIR":                t.TempDir(),
		"KANAL_SYNC_ALWAYS":             "false", // the load is the subject, not the disk
	} {
		t.Setenv(name, value)
	}
	deps := service.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}
	var cfg standalone.Config
	var echoCfg echo.Config
	if err := service.Parse(&cfg, &echoCfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := standalone.New(ctx, cfg, "", deps)
	if err != nil {
		t.Fatal(err)
	}
	runUntilTheEnd(t, ctx, cancel, s)
	deps.Connect = service.Connector(ctx, service.NATS{NATSURL: "nats://" + natsAddr}, deps.Log)
	e, err := echo.New(echoCfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	echoCtx, stopEcho := context.WithCancel(context.Background())
	runUntilTheEnd(t, echoCtx, stopEcho, e) // ends before NATS does
	select {
	case <-s.FrontEnd().Opened():
	case <-time.After(30 * time.Second):
		t.Fatal("not ready within 30 s")
	}
	return kafka, frames
}

func runUntilTheEnd(t *testing.T, ctx context.Context, cancel context.CancelFunc, r service.Runner) {
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLoad drives every mode against everything there is.
func TestLoad(t *testing.T) {
	kafka, frames := startStandalone(t)
	for name, change := range map[string]func(*loadgen.Config){
		"frames":           func(c *loadgen.Config) { c.Mode, c.Addr = loadgen.ModeFrames, frames },
		"frames pipelined": func(c *loadgen.Config) { c.Mode, c.Addr, c.Window, c.Size = loadgen.ModeFrames, frames, 8, 5000 },
		"frames in parts":  func(c *loadgen.Config) { c.Mode, c.Addr, c.Size, c.Connections = loadgen.ModeFrames, frames, 1<<20, 2 },
		"api versions":     func(c *loadgen.Config) { c.Mode, c.Window = loadgen.ModeApiVersions, 4 },
		"metadata":         func(c *loadgen.Config) { c.Mode = loadgen.ModeMetadata },
		"produce":          func(c *loadgen.Config) { c.Mode, c.Topic = loadgen.ModeProduce, "all" },
		"produce, acks 1":  func(c *loadgen.Config) { c.Mode, c.Topic, c.Acks, c.Window = loadgen.ModeProduce, "one", 1, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(kafka)
			change(&cfg)
			r := drive(t, cfg)
			if r.Errors != 0 || r.Requests < uint64(cfg.Connections*cfg.Window) {
				t.Fatalf("got %s", r)
			}
			if cfg.Mode == loadgen.ModeProduce {
				checkRecords(t, cfg, r.Records)
			}
		})
	}
	t.Run("produce without answers", func(t *testing.T) {
		cfg := config(kafka)
		cfg.Mode, cfg.Topic, cfg.Acks = loadgen.ModeProduce, "none", 0
		if r := drive(t, cfg); r.Errors != 0 || r.Requests == 0 {
			t.Fatalf("got %s", r)
		}
	})
	t.Run("Kafka's errors", func(t *testing.T) {
		cfg := config(kafka)
		cfg.Mode, cfg.Topic, cfg.Size, cfg.Records = loadgen.ModeProduce, "large", 2<<20, 1
		if r := drive(t, cfg); r.Requests != 0 || r.Failures["MESSAGE_TOO_LARGE"] != r.Errors || r.Errors == 0 {
			t.Errorf("got %s", r)
		}
		cfg = config(kafka)
		cfg.Mode, cfg.Topic = loadgen.ModeMetadata, "missing"
		if _, err := loadgen.Drive(limited(t), cfg, nil); err == nil || !strings.Contains(err.Error(), "UNKNOWN_TOPIC_OR_PARTITION") {
			t.Error(err)
		}
	})
}

func config(kafka string) loadgen.Config {
	cfg := loadgen.Defaults()
	cfg.Addr, cfg.Connections, cfg.Duration, cfg.Records = kafka, 12, 300*time.Millisecond, 7
	return cfg
}

func drive(t *testing.T, cfg loadgen.Config) *loadgen.Result {
	t.Helper()
	r, err := loadgen.Drive(limited(t), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkRecords reads the topic with a real client: exactly what was answered
// well is there, in every partition, with values of the right size.
func checkRecords(t *testing.T, cfg loadgen.Config, want uint64) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(cfg.Addr), kgo.ConsumeTopics(cfg.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, complete, partitions, patience := uint64(0), false, map[int32]bool{}, limited(t)
	for patience.Err() == nil {
		fetches := c.PollFetches(patience)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got++
			partitions[r.Partition] = true
			if len(r.Value) != cfg.Size || time.Since(r.Timestamp).Abs() > time.Hour {
				t.Fatalf("a record of %d bytes from %s", len(r.Value), r.Timestamp)
			}
		})
		if got == want && !complete { // and nothing more may come
			complete = true
			var cancel context.CancelFunc
			patience, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
		}
	}
	if got != want || len(partitions) != 6 {
		t.Errorf("%d records in %d partitions, want %d in 6", got, len(partitions), want)
	}
}
