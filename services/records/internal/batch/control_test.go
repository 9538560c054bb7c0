package batch

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMarkerIsKafkas(t *testing.T) {
	for _, m := range []Marker{{true, 7}, {false, -2}} {
		b := NewMarker(12, 3, m, 1000)
		b.SetPlace(70, 4)
		if got, ok := b.Marker(); !ok || got != m {
			t.Fatalf("%+v came back as %+v, %v", m, got, ok)
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		if rb.FirstOffset != 70 || rb.Attributes != transactionalBit|controlBit || rb.ProducerID != 12 || rb.ProducerEpoch != 3 || rb.FirstSequence != -1 ||
			rb.NumRecords != 1 || rb.LastOffsetDelta != 0 || rb.MaxTimestamp != 1000 || uint32(rb.CRC) != b.checksum() || b.size() != int64(len(b)) || b.NextOffset() != 71 {
			t.Fatalf("batch %+v", rb)
		}
		var r kmsg.Record
		var key kmsg.ControlRecordKey
		var value kmsg.EndTxnMarker
		if err := r.ReadFrom(rb.Records); err != nil || int(r.Length)+1 != len(rb.Records) {
			t.Fatalf("record %+v, %v", r, err)
		}
		if err := key.ReadFrom(r.Key); err != nil || key.Version != 0 || (key.Type == kmsg.ControlRecordKeyTypeCommit) != m.Commit || key.Type > 1 {
			t.Fatalf("key %+v, %v", key, err)
		}
		if err := value.ReadFrom(r.Value); err != nil || value.Version != 0 || value.CoordinatorEpoch != m.Epoch {
			t.Fatalf("value %+v, %v", value, err)
		}
	}
}

func TestWhatIsNoMarker(t *testing.T) {
	change := func(f func(Batch)) Batch {
		b := bytes.Clone(NewMarker(1, 0, Marker{Commit: true}, 0))
		f(b)
		return b
	}
	key := HeaderSize + 5 // behind length, attributes, distances, and the key's length
	for name, b := range map[string]Batch{
		"data":                  build(kgo.NoCompression(), []int64{1}, func(b *kmsg.RecordBatch) { b.ProducerID, b.Attributes = 1, transactionalBit }),
		"compressed":            change(func(b Batch) { b[offAttributes+1] |= 1 }),
		"a snapshot":            change(func(b Batch) { b[key+3] = 3 }),
		"of a negative version": change(func(b Batch) { b[key] = 255 }),
		"without a record":      NewMarker(1, 0, Marker{}, 0)[:HeaderSize],
		"cut":                   NewMarker(1, 0, Marker{}, 0)[:HeaderSize+12],
		"a short value":         change(func(b Batch) { b[key+4] = 10 }),
	} {
		if m, ok := b.Marker(); ok {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if m, ok := change(func(b Batch) { b[key+1], b[key+6] = 1, 1 }).Marker(); !ok || !m.Commit { // later versions only add
		t.Errorf("of later versions: %+v, %v", m, ok)
	}
}

func FuzzMarker(f *testing.F) {
	f.Add([]byte(NewMarker(1, 2, Marker{true, 3}, 4)))
	f.Add([]byte(NewMarker(1, 2, Marker{false, 3}, 4)[:HeaderSize+9]))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < HeaderSize {
			return
		}
		b := Batch(raw)
		m, ok := b.Marker()
		if !ok {
			return
		}
		if again, ok := NewMarker(b.ProducerID(), b.ProducerEpoch(), m, b.MaxTimestamp()).Marker(); !ok || again != m {
			t.Fatalf("%+v came back as %+v, %v", m, again, ok)
		}
	})
}
