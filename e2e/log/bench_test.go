package log_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkProduceAndConsume goes the whole way with franz-go's defaults: producer, front end, request channel, log and back. Acknowledged
// means stored, and not synced: that is nats-server's setting here.
func BenchmarkProduceAndConsume(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 10 << 10} {
		b.Run(fmt.Sprintf("%d B", size), func(b *testing.B) {
			k := startKanal(b)
			k.startRecords(b)
			c := k.client(b, kgo.MaxBufferedRecords(100_000))
			k.createTopic(b, c, "bench", 4, nil)
			value := make([]byte, size)
			b.SetBytes(int64(size))
			b.ResetTimer()
			var wait sync.WaitGroup
			wait.Add(b.N)
			for range b.N {
				c.Produce(context.Background(), &kgo.Record{Topic: "bench", Value: value}, func(_ *kgo.Record, err error) {
					if err != nil {
						b.Error(err)
					}
					wait.Done()
				})
			}
			wait.Wait()
			produced := b.Elapsed()
			reader := k.client(b, kgo.ConsumeTopics("bench"), kgo.FetchMaxWait(time.Second))
			for n := 0; n < b.N; {
				fs := reader.PollFetches(within(b, time.Minute))
				if err := fs.Err(); err != nil {
					b.Fatal(err)
				}
				n += fs.NumRecords()
			}
			b.ReportMetric(float64(b.N)/produced.Seconds(), "produced/s")
			b.ReportMetric(float64(b.N)/(b.Elapsed()-produced).Seconds(), "consumed/s")
		})
	}
}

// BenchmarkSingleBatches is the latency of one record at a time, by as many producers.
func BenchmarkSingleBatches(b *testing.B) {
	for _, producers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d producers", producers), func(b *testing.B) {
			k := startKanal(b)
			k.startRecords(b)
			admin := k.client(b)
			k.createTopic(b, admin, "bench", 4, nil)
			value := make([]byte, 1<<10)
			var all sync.WaitGroup
			b.ResetTimer()
			for p := range producers {
				c := k.client(b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
				n := b.N / producers
				if p == 0 {
					n += b.N % producers
				}
				all.Go(func() {
					for range n {
						if err := c.ProduceSync(context.Background(), &kgo.Record{Topic: "bench", Partition: int32(p % 4), Value: value}).FirstErr(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}
