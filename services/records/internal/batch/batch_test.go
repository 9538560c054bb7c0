package batch

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// build makes a batch of records with the given timestamps, and repairs length and checksum after change.
func build(codec kgo.CompressionCodec, timestamps []int64, change func(*kmsg.RecordBatch)) Batch {
	var records []byte
	var latest int64
	for i, t := range timestamps {
		r := kmsg.NewRecord()
		r.TimestampDelta64, r.OffsetDelta, r.Value = t-timestamps[0], int32(i), []byte("value")
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
		latest = max(latest, t)
	}
	rb := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(timestamps) - 1), FirstTimestamp: timestamps[0],
		MaxTimestamp: latest, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(timestamps)), Records: records}
	if c, _ := kgo.DefaultCompressor(codec); c != nil {
		compressed, kind := c.Compress(new(bytes.Buffer), records)
		rb.Records, rb.Attributes = slices.Clone(compressed), int16(kind)
	}
	if change != nil {
		change(&rb)
	}
	return seal(rb.AppendTo(nil))
}

// seal makes length and checksum right.
func seal(b []byte) Batch {
	binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-offLeaderEpoch))
	binary.BigEndian.PutUint32(b[offCRC:], Batch(b).checksum())
	return b
}

var rules = Rules{MaxBytes: 1 << 20, Version: 9, BeforeMax: 1 << 62, AfterMax: 3600_000}

const now = 1_700_000_000_000

func TestValidate(t *testing.T) {
	good := func(change func(*kmsg.RecordBatch)) []byte {
		return build(kgo.NoCompression(), []int64{now, now + 1, now + 2}, change)
	}
	for name, c := range map[string]struct {
		records []byte
		rules   func(*Rules)
		want    *kerr.Error
		wrong   []int32 // records, if want says that they are named
	}{
		"good":                         {records: good(nil)},
		"gzip":                         {records: build(kgo.GzipCompression(), []int64{now, now}, nil)},
		"snappy":                       {records: build(kgo.SnappyCompression(), []int64{now, now}, nil)},
		"lz4":                          {records: build(kgo.Lz4Compression(), []int64{now, now}, nil)},
		"zstd":                         {records: build(kgo.ZstdCompression(), []int64{now, now}, nil)},
		"zstd before version 7":        {records: build(kgo.ZstdCompression(), []int64{now, now}, nil), rules: func(r *Rules) { r.Version = 6 }, want: kerr.UnsupportedCompressionType},
		"nothing":                      {records: nil, want: kerr.InvalidRecord},
		"cut":                          {records: good(nil)[:70], want: kerr.CorruptMessage},
		"half a header":                {records: good(nil)[:40], want: kerr.CorruptMessage},
		"two batches":                  {records: append(good(nil), good(nil)...), want: kerr.InvalidRecord},
		"something behind":             {records: append(good(nil), 0), want: kerr.InvalidRecord},
		"old magic":                    {records: good(func(b *kmsg.RecordBatch) { b.Magic = 1 }), want: kerr.InvalidRecord},
		"too large":                    {records: good(nil), rules: func(r *Rules) { r.MaxBytes = 80 }, want: kerr.MessageTooLarge},
		"wrong checksum":               {records: func() []byte { b := good(nil); b[len(b)-1]++; return b }(), want: kerr.CorruptMessage},
		"base offset":                  {records: good(func(b *kmsg.RecordBatch) { b.FirstOffset = 5 }), want: kerr.InvalidRecord},
		"control batch":                {records: good(func(b *kmsg.RecordBatch) { b.Attributes |= controlBit }), want: kerr.InvalidRecord},
		"count and delta differ":       {records: good(func(b *kmsg.RecordBatch) { b.LastOffsetDelta++ }), want: kerr.InvalidRecord},
		"no records":                   {records: good(func(b *kmsg.RecordBatch) { b.LastOffsetDelta, b.NumRecords, b.Records = -1, 0, nil }), want: kerr.InvalidRecord},
		"more than there are":          {records: good(func(b *kmsg.RecordBatch) { b.LastOffsetDelta, b.NumRecords = 3, 4 }), want: kerr.InvalidRecord},
		"fewer than there are":         {records: good(func(b *kmsg.RecordBatch) { b.LastOffsetDelta, b.NumRecords = 1, 2 }), want: kerr.InvalidRecord},
		"garbage as records":           {records: good(func(b *kmsg.RecordBatch) { b.Records = bytes.Repeat([]byte{255}, 30) }), want: kerr.InvalidRecord},
		"unknown codec":                {records: good(func(b *kmsg.RecordBatch) { b.Attributes |= 5 }), want: kerr.UnsupportedCompressionType},
		"idempotent":                   {records: good(func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch, b.FirstSequence = 1, 0, 0 })},
		"no sequence":                  {records: good(func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch = 1, 0 }), want: kerr.InvalidRecord},
		"no epoch":                     {records: good(func(b *kmsg.RecordBatch) { b.ProducerID, b.FirstSequence = 1, 0 }), want: kerr.InvalidRecord},
		"transaction of nobody":        {records: good(func(b *kmsg.RecordBatch) { b.Attributes |= transactionalBit }), want: kerr.InvalidRecord},
		"append time by a client":      {records: good(func(b *kmsg.RecordBatch) { b.Attributes |= logAppendTimeBit }), want: kerr.InvalidTimestamp},
		"one of three from the future": {records: build(kgo.NoCompression(), []int64{now, now + 3600_001, now}, func(b *kmsg.RecordBatch) { b.MaxTimestamp = now }), want: kerr.InvalidTimestamp, wrong: []int32{1}},
		"two of three from the past":   {records: build(kgo.NoCompression(), []int64{now - 101, now, now - 200}, nil), rules: func(r *Rules) { r.BeforeMax = 100 }, want: kerr.InvalidTimestamp, wrong: []int32{0, 2}},
		"compressed, from the future":  {records: build(kgo.GzipCompression(), []int64{now, now + 3600_001}, nil), want: kerr.InvalidTimestamp},
		"compressed, from the past":    {records: build(kgo.GzipCompression(), []int64{now - 101, now}, nil), rules: func(r *Rules) { r.BeforeMax = 100 }, want: kerr.InvalidTimestamp, wrong: []int32{0}},
		"from the future":              {records: build(kgo.NoCompression(), []int64{now + 3600_001}, nil), want: kerr.InvalidTimestamp},
		"from the past":                {records: build(kgo.NoCompression(), []int64{now - 101}, nil), rules: func(r *Rules) { r.BeforeMax = 100 }, want: kerr.InvalidTimestamp},
		"the broker's time":            {records: build(kgo.NoCompression(), []int64{now + 3600_001}, nil), rules: func(r *Rules) { r.LogAppendTime = true }},
		"no timestamp":                 {records: build(kgo.NoCompression(), []int64{-1}, func(b *kmsg.RecordBatch) { b.MaxTimestamp = -1 }), rules: func(r *Rules) { r.BeforeMax = 100 }},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules
			if c.rules != nil {
				c.rules(&r)
			}
			b, refusal := Validate(c.records, r, now)
			switch {
			case c.want == nil && refusal != nil:
				t.Fatal(refusal)
			case c.want == nil && !bytes.Equal(b, c.records):
				t.Fatal("the batch was changed")
			case c.want != nil && (refusal == nil || refusal.Kafka != c.want):
				t.Fatalf("got %v, want %v", refusal, c.want)
			}
			for i, index := range c.wrong {
				if len(refusal.Records) != len(c.wrong) || refusal.Records[i].Index != index || refusal.Records[i].Message == "" {
					t.Fatalf("records %+v, want %v", refusal.Records, c.wrong)
				}
			}
		})
	}
}

func TestFieldsAreKafkas(t *testing.T) {
	b := build(kgo.NoCompression(), []int64{100, 300, 200}, func(b *kmsg.RecordBatch) {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = 7, 3, 11
	})
	b.SetPlace(1000, 4)
	b.SetLogAppendTime(500)
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	if rb.FirstOffset != 1000 || rb.PartitionLeaderEpoch != 4 || rb.Attributes != logAppendTimeBit || rb.MaxTimestamp != 500 || uint32(rb.CRC) != b.checksum() {
		t.Fatalf("got %+v", rb)
	}
	if b.BaseOffset() != 1000 || b.NextOffset() != 1003 || b.LeaderEpoch() != 4 || b.ProducerID() != 7 || b.ProducerEpoch() != 3 || b.BaseSequence() != 11 || b.Count() != 3 || b.BaseTimestamp() != 100 {
		t.Fatalf("read otherwise than kmsg: %+v", rb)
	}
}

func TestSearchByTime(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		t.Run(name, func(t *testing.T) {
			b := build(codec, []int64{100, 300, 200, 300}, nil)
			b.SetPlace(50, 0)
			for _, c := range []struct {
				millis int64
				want   Found
				ok     bool
			}{{0, Found{50, 100}, true}, {100, Found{50, 100}, true}, {101, Found{51, 300}, true}, {301, Found{}, false}} {
				if got, ok, err := b.AtOrAfter(c.millis, 0); err != nil || ok != c.ok || got != c.want {
					t.Errorf("at %d: %+v, %v, %v", c.millis, got, ok, err)
				}
			}
			if got, ok, err := b.Latest(0); err != nil || !ok || got != (Found{51, 300}) {
				t.Errorf("latest: %+v, %v, %v", got, ok, err)
			}
		})
	}
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(build(kgo.NoCompression(), []int64{1, 2, 3}, nil)), 30)
	f.Add([]byte(build(kgo.GzipCompression(), []int64{1, 2, 3}, nil)), 70)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if len(b) > HeaderSize { // let mutations get past the checksum
			b = seal(slices.Clone(b))
		}
		valid, refusal := Validate(b, rules, 10)
		if refusal != nil {
			return
		}
		if _, _, err := valid.AtOrAfter(0, 0); err != nil && valid.Codec() == 0 {
			t.Fatalf("valid, but %v", err)
		}
		if at > 0 && at < len(b) {
			if _, refusal := Validate(b[:at], rules, 10); refusal == nil {
				t.Fatalf("cut at %d of %d and still valid", at, len(b))
			}
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	for name, n := range map[string]int{"1 record": 1, "100 records": 100, "10000 records": 10000} {
		b.Run(name, func(b *testing.B) {
			whole := build(kgo.NoCompression(), make([]int64, n), nil)
			b.SetBytes(int64(len(whole)))
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := Validate(whole, rules, 10); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}
