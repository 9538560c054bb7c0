// Package bench measures whole paths: a real client, the front end, NATS and
// the handlers, in one process as standalone runs them.
//
//	go test -bench . -benchtime 3s ./bench
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/libs/service"
	"kanal/services/standalone"
)

// kanal runs a standalone on free ports until the benchmark ends.
func kanal(b *testing.B, sync bool) (seed string) {
	b.Helper()
	b.Setenv("KANAL_LISTENERS", "PLAINTEXT://127.0.0.1:0")
	b.Setenv("KANAL_NATS_LISTEN", "127.0.0.1:0")
	b.Setenv("KANAL_DATA_DIR", b.TempDir())
	b.Setenv("KANAL_SYNC_ALWAYS", fmt.Sprint(sync))
	var cfg standalone.Config
	if err := service.Parse(&cfg); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := standalone.New(ctx, cfg, "", service.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	select {
	case <-s.FrontEnd().Opened():
	case <-time.After(30 * time.Second):
		b.Fatal("not ready within 30 s")
	}
	return s.FrontEnd().Addr("PLAINTEXT")
}

func client(b *testing.B, seed string, opts ...kgo.Opt) *kgo.Client {
	b.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seed), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("bench")}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// produce sends n records of a size and waits for all.
func produce(b *testing.B, c *kgo.Client, n, size int) {
	b.Helper()
	value := make([]byte, size)
	failed := make(chan error, 1)
	for range n {
		c.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := c.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

// BenchmarkProduce is a client with its default settings (idempotent, batching)
// that sends as fast as it can.
func BenchmarkProduce(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, size := range []int{100, 1024, 10240} {
			b.Run(fmt.Sprintf("sync=%t/record=%d", sync, size), func(b *testing.B) {
				c := client(b, kanal(b, sync))
				produce(b, c, 1, size)
				b.SetBytes(int64(size))
				b.ResetTimer()
				produce(b, c, b.N, size)
			})
		}
	}
}

// BenchmarkProduceOne is one record at a time: latency.
func BenchmarkProduceOne(b *testing.B) {
	for _, sync := range []bool{true, false} {
		b.Run(fmt.Sprintf("sync=%t", sync), func(b *testing.B) {
			c := client(b, kanal(b, sync), kgo.ProducerLinger(0))
			produce(b, c, 1, 100)
			for b.Loop() {
				if err := c.ProduceSync(context.Background(), &kgo.Record{Value: make([]byte, 100)}).FirstErr(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFetch reads a topic from its start.
func BenchmarkFetch(b *testing.B) {
	for _, size := range []int{100, 1024, 10240} {
		b.Run(fmt.Sprintf("record=%d", size), func(b *testing.B) {
			seed := kanal(b, false)
			produce(b, client(b, seed), b.N, size)
			c := client(b, seed, kgo.ConsumeTopics("bench"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			b.SetBytes(int64(size))
			b.ResetTimer()
			for got := 0; got < b.N; {
				fetches := c.PollFetches(context.Background())
				if err := fetches.Err(); err != nil {
					b.Fatal(err)
				}
				got += fetches.NumRecords()
			}
		})
	}
}
