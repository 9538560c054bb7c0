package producer

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestCheck(t *testing.T) {
	var five State
	for i := range int32(6) { // the first is forgotten
		five.Add(2, Batch{First: i * 10, Last: i*10 + 9, Offset: int64(i) * 100}, 0)
	}
	var wrapped State
	wrapped.Add(0, Batch{First: math.MaxInt32 - 1, Last: math.MaxInt32, Offset: 7}, 0)
	for name, c := range map[string]struct {
		s         State
		known     bool
		epoch     int16
		b         Batch
		duplicate int64 // -1: none
		err       error
	}{
		"never seen, from the start":   {State{}, false, 0, Batch{First: 0, Last: 4}, -1, nil},
		"never seen, in the middle":    {State{}, false, 3, Batch{First: 40, Last: 44}, -1, nil},
		"next":                         {five, true, 2, Batch{First: 60, Last: 61}, -1, nil},
		"gap":                          {five, true, 2, Batch{First: 61, Last: 62}, -1, ErrOutOfOrder},
		"the last again":               {five, true, 2, Batch{First: 50, Last: 59}, 500, nil},
		"the fifth last again":         {five, true, 2, Batch{First: 10, Last: 19}, 100, nil},
		"the sixth last is forgotten":  {five, true, 2, Batch{First: 0, Last: 9}, -1, ErrOutOfOrder},
		"same start, other end":        {five, true, 2, Batch{First: 50, Last: 58}, -1, ErrOutOfOrder},
		"older epoch":                  {five, true, 1, Batch{First: 60, Last: 61}, -1, ErrInvalidEpoch},
		"newer epoch from the start":   {five, true, 3, Batch{First: 0, Last: 9}, -1, nil},
		"newer epoch in the middle":    {five, true, 3, Batch{First: 60, Last: 61}, -1, ErrOutOfOrder},
		"after the largest comes zero": {wrapped, true, 0, Batch{First: 0, Last: 3}, -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			offset, duplicate, err := Check(c.s, c.known, c.epoch, c.b)
			if !errors.Is(err, c.err) || duplicate != (c.duplicate >= 0) || duplicate && offset != c.duplicate {
				t.Fatalf("got %d, %v, %v", offset, duplicate, err)
			}
		})
	}
}

func TestSequenceWraps(t *testing.T) {
	for _, c := range [][3]int32{{0, 1, 1}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 2, math.MaxInt32}, {math.MaxInt32 - 2, 5, 2}} {
		if got := Sequence(c[0], c[1]); got != c[2] {
			t.Errorf("%d after %d is %d, want %d", c[1], c[0], got, c[2])
		}
	}
}

// model is a producer as the protocol's text has it: everything that was ever accepted, newest last.
type model struct {
	epoch   int16
	batches []Batch
}

func (m *model) expect(epoch int16, b Batch) string {
	if m.batches == nil {
		return "append"
	}
	if epoch < m.epoch {
		return "epoch"
	}
	if epoch > m.epoch {
		if b.First == 0 {
			return "append"
		}
		return "order"
	}
	for i := max(0, len(m.batches)-Batches); i < len(m.batches); i++ {
		if m.batches[i].First == b.First && m.batches[i].Last == b.Last {
			return fmt.Sprint("duplicate of ", m.batches[i].Offset)
		}
	}
	if int64(b.First) == (int64(m.batches[len(m.batches)-1].Last)+1)%(math.MaxInt32+1) {
		return "append"
	}
	return "order"
}

func TestStateAgreesWithModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var s State
		var m model
		next := int64(math.MaxInt32 - 20) // so that it wraps
		for step := range 300 {
			epoch := m.epoch + int16(random.IntN(20)/19) - int16(random.IntN(20)/19)
			first := (next + int64(random.IntN(5)/4)*int64(random.IntN(30)-15) + math.MaxInt32 + 1) % (math.MaxInt32 + 1)
			if epoch > m.epoch && random.IntN(2) == 0 {
				first = 0
			}
			b := Batch{First: int32(first), Last: Sequence(int32(first), int32(random.IntN(3))), Offset: int64(step)}
			got := "append"
			switch offset, duplicate, err := Check(s, m.batches != nil, epoch, b); {
			case duplicate:
				got = fmt.Sprint("duplicate of ", offset)
			case errors.Is(err, ErrInvalidEpoch):
				got = "epoch"
			case errors.Is(err, ErrOutOfOrder):
				got = "order"
			}
			if want := m.expect(epoch, b); got != want {
				t.Fatalf("seed %d, step %d: epoch %d %+v: got %s, want %s", seed, step, epoch, b, got, want)
			}
			if got != "append" {
				continue
			}
			if epoch != m.epoch {
				m.batches = nil
			}
			m.epoch, m.batches = epoch, append(m.batches, b)
			s.Add(epoch, b, int64(step))
			next = (int64(b.Last) + 1) % (math.MaxInt32 + 1)
			if again, rest, err := Parse(s.Append(nil)); err != nil || len(rest) > 0 || again.Epoch != s.Epoch || again.Batches[0] != s.Batches[0] || again.Count != s.Count {
				t.Fatalf("%+v was read as %+v, %v", s, again, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	var s State
	s.Add(1, Batch{0, 9, 100}, 5)
	f.Add(s.Append(nil), 3)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		s, rest, err := Parse(b)
		if err != nil {
			return
		}
		whole := b[:len(b)-len(rest)]
		if string(s.Append(nil)) != string(whole) {
			t.Fatalf("%x became %x", whole, s.Append(nil))
		}
		if at >= 0 && at < len(whole) {
			if _, _, err := Parse(whole[:at]); err == nil {
				t.Fatalf("cut at %d was understood", at)
			}
		}
	})
}
