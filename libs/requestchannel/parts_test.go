package requestchannel

import (
	"bytes"
	"testing"
)

func TestPartsMakeTheWhole(t *testing.T) {
	for _, n := range []int{0, 1, PartSize - 1, PartSize, PartSize + 1, 2*PartSize + 3} {
		frame := bytes.Repeat([]byte{1, 2, 3}, n/3+1)[:n]
		var a assembly
		for i := range partsOf(n) {
			done, err := a.add(i, partsOf(n), uint32(n), partOf(frame, i))
			if err != nil || done != (i+1 == partsOf(n)) {
				t.Fatalf("%d bytes, part %d: %t, %v", n, i, done, err)
			}
		}
		if !bytes.Equal(a.frame, frame) {
			t.Fatalf("%d bytes came out different", n)
		}
	}
}

func TestPartsOutOfPlaceAreRefused(t *testing.T) {
	part := make([]byte, 10)
	for name, add := range map[string]func(*assembly) error{
		"second first": func(a *assembly) error { _, err := a.add(1, 3, 30, part); return err },
		"twice": func(a *assembly) error {
			_, _ = a.add(0, 3, 30, part)
			_, err := a.add(0, 3, 30, part)
			return err
		},
		"more than announced": func(a *assembly) error { _, err := a.add(0, 3, 9, part); return err },
		"less than announced": func(a *assembly) error { _, err := a.add(0, 1, 11, part); return err },
		"beyond the limit":    func(a *assembly) error { _, err := a.add(0, 3, MaxFrame+1, part); return err },
	} {
		if add(new(assembly)) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
