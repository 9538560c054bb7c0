package loadgen

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A batch is what an independent decoder and checksum say it is.
func TestBatch(t *testing.T) {
	for _, c := range []struct{ records, size int }{{1, 1}, {1, 5000}, {200, 100}, {3, 100_000}} {
		b := newBatch(c.records, c.size)
		for _, millis := range []int64{1_700_000_000_000, 1_800_000_000_000} {
			stamp(b, millis)
			checkBatch(t, b, c.records, c.size, millis)
		}
	}
}

func checkBatch(t *testing.T, b []byte, records, size int, millis int64) {
	t.Helper()
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	if want := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(rb.CRC) != want {
		t.Errorf("checksum %x, want %x", uint32(rb.CRC), want)
	}
	if int(rb.Length) != len(b)-12 || rb.Magic != 2 || rb.ProducerID != -1 || rb.FirstTimestamp != millis || rb.MaxTimestamp != millis ||
		int(rb.NumRecords) != records || int(rb.LastOffsetDelta) != records-1 {
		t.Errorf("%d records of %d bytes gave %+v", records, size, rb)
	}
	rest := rb.Records
	for i := range records {
		length, n := binary.Varint(rest)
		if n <= 0 || int(length) > len(rest)-n {
			t.Fatalf("record %d has length %d of %d", i, length, len(rest))
		}
		var r kmsg.Record
		if err := r.ReadFrom(rest[:n+int(length)]); err != nil {
			t.Fatal(err)
		}
		if int(r.OffsetDelta) != i || len(r.Value) != size || r.Key != nil || r.TimestampDelta64 != 0 {
			t.Errorf("record %d is %+v", i, r)
		}
		rest = rest[n+int(length):]
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes behind the last record", len(rest))
	}
}

// The batch inside a request is the one that is stamped.
func TestProducerStampsEveryRequest(t *testing.T) {
	cfg := Config{Topic: "t", Acks: 1}
	e := newProducer(cfg, 7, newBatch(5, 20))
	var buf []byte
	for correlation := range byte(3) {
		buf = e.next(buf)
		if buf[correlationAt+3] != correlation+1 {
			t.Fatalf("correlation id in %x", buf[:12])
		}
		r := kmsg.NewPtrProduceRequest()
		r.Version = 9
		headerBytes := 8 + 2 + len("loadgen") + 1
		if err := r.ReadFrom(buf[headerBytes:]); err != nil {
			t.Fatal(err)
		}
		p := r.Topics[0].Partitions[0]
		if r.Topics[0].Topic != "t" || p.Partition != 7 || r.Acks != 1 {
			t.Fatalf("got %+v", r)
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(p.Records); err != nil || rb.FirstTimestamp == 0 {
			t.Fatalf("%+v, %v", rb, err)
		}
		checkBatch(t, p.Records, 5, 20, rb.FirstTimestamp)
	}
}

func BenchmarkNextProduce(b *testing.B) {
	e := newProducer(Config{Topic: "t", Acks: -1}, 0, newBatch(10, 100))
	buf := e.next(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = e.next(buf)
	}
}
