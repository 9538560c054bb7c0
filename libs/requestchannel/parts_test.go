package requestchannel

import (
	"bytes"
	"testing"
	"time"
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

// Parts of a front end that is gone are let go soon, those of one that lives after a minute of silence.
func TestPartsOfTheDeadAreReleased(t *testing.T) {
	as := assemblies{m: map[requestKey]*assembly{}}
	begin := time.Now()
	part := func(frontEnd string, id uint64, part uint16, at time.Time) bool {
		in := &Incoming{Request: Request{ID: id, Part: part, Parts: 2, Total: 2, Frame: []byte("x"), Origin: Origin{FrontEnd: frontEnd}}, Received: at}
		whole, err := as.add(in)
		if err != nil {
			t.Fatal(err)
		}
		return whole
	}
	living := func(id string) bool { return id == "living" }
	part("dead", 1, 0, begin)
	part("living", 1, 0, begin)
	part("living", 2, 0, begin)
	as.sweep(begin.Add(AnnouncementTimeout), living)
	if len(as.m) != 3 {
		t.Fatalf("%d left: a front end may not have been heard of yet", len(as.m))
	}
	as.sweep(begin.Add(AnnouncementTimeout+1), living)
	if len(as.m) != 2 {
		t.Fatalf("%d left, want those of the living", len(as.m))
	}
	if !part("living", 2, 1, begin.Add(longestPart)) {
		t.Fatal("the last part does not complete it")
	}
	as.sweep(begin.Add(longestPart+1), living)
	if len(as.m) != 0 {
		t.Fatal("what nothing more came of is still there")
	}
}
