package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"kanal/libs/requestchannel"
)

func frontEnd(id, state string, brokers int) requestchannel.FrontEnd {
	return requestchannel.FrontEnd{ID: id, State: state, Addresses: map[string]requestchannel.Address{"A": {Host: id, Port: 9092, Brokers: brokers}}}
}

func TestPlaceSpreadsBrokersAndMovesFew(t *testing.T) {
	var all []requestchannel.FrontEnd
	for i := range 4 {
		all = append(all, frontEnd(fmt.Sprint("f", i), requestchannel.StateReady, 300))
	}
	before := place(all, "A", 300)
	count := make(map[string]int)
	for i, b := range before {
		if b.ID != int32(i)+1 || b.Port != 9092+b.ID {
			t.Fatalf("broker %d is %+v", i+1, b)
		}
		count[b.Host]++
	}
	for host, n := range count {
		if n < 50 || n > 100 {
			t.Errorf("%s has %d of 300", host, n)
		}
	}
	after := place(all[1:], "A", 300)
	for i, b := range after {
		if before[i].Host != "f0" && before[i] != b {
			t.Errorf("broker %d moved from %s to %s, though its front end lives", b.ID, before[i].Host, b.Host)
		}
	}
}

func TestPlaceAvoidsThoseWhoLeave(t *testing.T) {
	all := []requestchannel.FrontEnd{frontEnd("leaving", requestchannel.StateDraining, 1), frontEnd("here", requestchannel.StateReady, 1)}
	for _, b := range place(all, "A", 9) {
		if b.Host != "here" {
			t.Errorf("broker %d at %s", b.ID, b.Host)
		}
	}
	if got := place(all[:1], "A", 1); len(got) != 1 || got[0].Host != "leaving" || got[0].Port != 9092 {
		t.Errorf("nobody else is left: %v", got)
	}
	if got := place(all, "B", 1); got != nil {
		t.Errorf("a listener that nobody has: %v", got)
	}
}

type fakeView struct {
	mu        sync.Mutex
	frontEnds []requestchannel.FrontEnd
	changed   func()
}

func (v *fakeView) FrontEnds() []requestchannel.FrontEnd {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frontEnds
}

func (v *fakeView) OnChange(f func()) { v.changed = f }

func TestListWaitsForTheFirstFrontEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		view, brokers := new(fakeView), NewBrokers()
		brokers.Follow(view)
		if _, err := brokers.List(t.Context(), "A", 1); err == nil {
			t.Error("answered without a front end")
		}
		found := make(chan []Broker)
		go func() {
			got, _ := brokers.List(context.Background(), "A", 1)
			found <- got
		}()
		synctest.Wait()
		view.mu.Lock()
		view.frontEnds = append(view.frontEnds, frontEnd("f", requestchannel.StateReady, 1))
		view.mu.Unlock()
		view.changed()
		if got := <-found; len(got) != 1 || got[0].Host != "f" {
			t.Errorf("found %v", got)
		}
	})
}
