package requestchannel

import (
	"slices"
	"testing"
	"time"

	rc "kanal/libs/requestchannel"
)

// BenchmarkSmallBesideLarge is the latency of small requests while large ones are under way both ways all the time.
func BenchmarkSmallBesideLarge(b *testing.B) {
	url := natsServer(b, -1).ClientURL()
	newInstance(b, url, "echo", nil, echo)
	for name, size := range map[string]int{"alone": 0, "beside 32 MiB": 32 << 20} {
		b.Run(name, func(b *testing.B) { benchmarkSmallBeside(b, url, size) })
	}
}

func benchmarkSmallBeside(b *testing.B, url string, size int) {
	large, small := newFrontEnd(b, url, nil), newFrontEnd(b, url, func(c *rc.ChannelConfig) { c.FrontEnd = "fe2" })
	small.origin = rc.AppendOrigin(nil, rc.Origin{FrontEnd: "fe2", ConnectionID: "c"})
	small.answer(b, small.send(b, "echo", 0, []byte("x"))) // it knows the handler
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for frame := make([]byte, size); size > 0; {
			select {
			case <-stop:
				return
			default:
				large.answer(b, large.send(b, "echo", 0, frame))
			}
		}
	}()
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		begin := time.Now()
		token := small.send(b, "echo", 0, make([]byte, 100))
		for len(small.of(token)) == 0 {
			time.Sleep(20 * time.Microsecond)
		}
		took = append(took, time.Since(begin))
	}
	b.StopTimer()
	close(stop)
	<-stopped
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
