package requestchannel

import (
	"fmt"
	"log/slog"
	"testing"
	"time"
)

func emptyView() *View {
	return &View{log: slog.New(slog.DiscardHandler), handlers: map[string]*liveHandler{}, frontEnds: map[string]*liveFrontEnd{}}
}

func put(v *View, id string, number uint64, state string) bool {
	return v.putHandler(&Handler{Version: 1, ID: id, Number: number, Service: "records", State: state, Window: 8}, time.Now())
}

func TestViewTellsChangesFromRepetitions(t *testing.T) {
	v := emptyView()
	for i, step := range []struct {
		number  uint64
		state   string
		changed bool
	}{
		{1, StateReady, true}, {2, StateReady, false}, {2, StateDraining, false}, {3, StateDraining, true},
		{1, StateReady, false}, {4, StateGone, true}, {5, StateGone, false},
	} {
		if put(v, "a", step.number, step.state) != step.changed {
			t.Fatalf("step %d: %+v", i, step)
		}
	}
}

// A ban ends with the next announcement, not with one that was under way.
func TestBanEndsWithANewerAnnouncement(t *testing.T) {
	v := emptyView()
	put(v, "a", 5, StateReady)
	v.Ban("a", 5)
	if _, ok := v.Holder("records", 1); ok || v.Handlers()[0].State != StateDraining {
		t.Fatal("banned, yet ready")
	}
	put(v, "a", 5, StateReady)
	if v.Handlers()[0].State == StateReady {
		t.Fatal("an old announcement ended the ban")
	}
	put(v, "a", 6, StateReady)
	if id, ok := v.Holder("records", 1); !ok || id != "a" {
		t.Fatal("still banned")
	}
	v.Ban("a", 5)
	if v.Handlers()[0].State != StateReady {
		t.Fatal("a ban of the past counted")
	}
}

func TestSilentOnesAreForgotten(t *testing.T) {
	v := emptyView()
	put(v, "a", 1, StateReady)
	if v.forget(time.Now().Add(-time.Second)) {
		t.Fatal("forgotten too early")
	}
	if !v.forget(time.Now().Add(time.Second)) || len(v.Handlers()) != 0 {
		t.Fatal("not forgotten")
	}
}

// Rendezvous: brokers spread over the instances, and one that leaves moves only
// what it held.
func TestHoldersSpreadAndMoveLittle(t *testing.T) {
	v := emptyView()
	for i := range 5 {
		put(v, fmt.Sprintf("instance-%d", i), 1, StateReady)
	}
	before := map[int32]string{}
	share := map[string]int{}
	for b := int32(1); b <= 1000; b++ {
		before[b], _ = v.Holder("records", b)
		share[before[b]]++
	}
	for id, n := range share {
		if n < 120 || n > 280 {
			t.Errorf("%s holds %d of 1000", id, n)
		}
	}
	put(v, "instance-3", 2, StateDraining)
	for b, was := range before {
		if now, _ := v.Holder("records", b); was != "instance-3" && now != was {
			t.Fatalf("broker %d moved from %s to %s", b, was, now)
		}
	}
}

func TestAnnouncementsThatAreNone(t *testing.T) {
	for _, b := range []string{"", "{}", `{"v":1,"id":"a.b","service":"x","window":1}`, `{"v":1,"id":"a","service":"","window":1}`, `{"v":1,"id":"a","service":"x","window":0}`} {
		if h, err := parseHandler([]byte(b)); err == nil {
			t.Errorf("%q gave %+v", b, h)
		}
	}
	if _, err := parseFrontEnd([]byte(`{"v":1,"id":"*"}`)); err == nil {
		t.Error("a wildcard as id")
	}
}
