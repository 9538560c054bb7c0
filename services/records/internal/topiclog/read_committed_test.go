package topiclog_test

import (
	"context"
	"testing"

	"kanal/libs/log/logtest"
	"kanal/services/records/internal/batch"
	"kanal/services/records/internal/topiclog"
)

// What is committed is read up to the first open transaction, from places that are known and by scanning, and with the aborted
// transactions of just what is returned.
func TestReadCommitted(t *testing.T) {
	for name, behind := range map[string]int{"near": 10, "far": 700} {
		t.Run(name, func(t *testing.T) {
			l := open(t, logtest.NewStream(1, logtest.Faults{}), nil, nil)
			write := func(b batch.Batch, number uint32) {
				t.Helper()
				done := make(chan *topiclog.Append, 1)
				l.Append(&topiclog.Append{Batch: b, Number: number, Done: done})
				if a := <-done; a.Err != nil {
					t.Fatal(a.Err)
				}
			}
			begin := func(id int64) {
				b := newBatch(id, 0, 0, 1, 1000, nil)
				b[22] |= 1 << 4
				write(b, 1)
			}
			end := func(id int64) { write(batch.NewMarker(id, 0, batch.Marker{}, 1000), 1) }
			begin(1)                // 0
			end(1)                  // 1
			begin(2)                // 2
			write(plain(1, nil), 0) // 3
			end(2)                  // 4
			begin(3)                // 5
			for range behind {
				write(plain(1, nil), 0)
			}
			ctx := context.Background()
			size := len(plain(1, nil))
			for _, c := range []struct {
				from    int64
				max     int
				next    int64 // behind the last batch that is returned
				aborted []int64
			}{{0, 1 << 20, 5, []int64{1, 2}}, {0, size, 1, []int64{1}}, {2, 1 << 20, 5, []int64{2}}, {1, size, 2, []int64{1}}, {3, size, 4, []int64{2}}, {4, 1 << 20, 5, []int64{2}}, {5, 1 << 20, 5, nil}, {6, 1 << 20, 6, nil}} {
				got, err := l.ReadCommitted(ctx, 0, c.from, c.max, true)
				if err != nil {
					t.Fatal(err)
				}
				next := c.from
				if n := len(got.Batches); n > 0 {
					next = got.Batches[n-1].NextOffset()
				}
				if next != c.next || got.Stable != 5 || len(got.Aborted) != len(c.aborted) {
					t.Errorf("from %d: up to %d, stable to %d, aborted %+v", c.from, next, got.Stable, got.Aborted)
					continue
				}
				for i, id := range c.aborted {
					if got.Aborted[i].ProducerID != id {
						t.Errorf("from %d: aborted %+v", c.from, got.Aborted)
					}
				}
			}
			if got, err := l.Read(ctx, 0, 0, 1<<20, true); err != nil || len(got.Batches) < 10 || got.Aborted != nil || got.Stable != 5 {
				t.Errorf("uncommitted: %d batches, aborted %+v, stable to %d, %v", len(got.Batches), got.Aborted, got.Stable, err)
			}
			if _, err := deleteBefore(l, 0, 7); err != nil || l.Stable(0) != 7 { // the open transaction's records are gone
				t.Errorf("stable to %d, %v", l.Stable(0), err)
			}
		})
	}
}
