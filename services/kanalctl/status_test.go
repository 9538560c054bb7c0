package kanalctl

import (
	"encoding/json"
	"strings"
	"testing"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

func handler(service, id, state string, share int, holds []int32, apis protocol.Ranges) Handler {
	h := Handler{Share: share, Holds: holds}
	h.Service, h.ID, h.State, h.Window, h.Release, h.APIs = service, id, state, 256, "0.1.0", apis
	if holds != nil {
		h.Affinity = requestchannel.AffinityByBroker
	}
	return h
}

func example() *Status {
	fetch := protocol.Ranges{protocol.Produce: {Min: 0, Max: 13}, protocol.Fetch: {Min: 4, Max: 18}}
	return &Status{
		Cluster: "kanal", ClusterID: "AAAAAAAAAAAAAAAAAAAAAA", Brokers: 4,
		FrontEnds: []requestchannel.FrontEnd{{ID: "F1", State: "ready", Release: "0.1.0", Addresses: map[string]requestchannel.Address{
			"PLAINTEXT": {Host: "localhost", Port: 9092, Brokers: 4}, "INTERNAL": {Host: "::1", Port: 9999, Brokers: 1},
		}}},
		Handlers: []Handler{
			handler("echo", "E1", "ready", 256, nil, nil),
			handler("records", "R1", "ready", 128, []int32{1, 2, 4}, fetch),
			handler("records", "R2", "draining", 128, []int32{}, fetch),
			handler("records", "R3", "ready", 128, []int32{3}, protocol.Ranges{protocol.Produce: {Min: 3, Max: 9}}),
		},
	}
}

func TestStatusTable(t *testing.T) {
	want := strings.TrimPrefix(`
cluster kanal, id AAAAAAAAAAAAAAAAAAAAAA, brokers 1-4: 1 front end, 4 handlers

FRONT END  STATE  RELEASE  ADDRESSES
F1         ready  0.1.0    INTERNAL [::1]:9999, PLAINTEXT localhost:9092 (brokers at 9093-9096)

SERVICE  HANDLER  STATE     WINDOW  SHARE  AFFINITY  HOLDS          RELEASE
echo     E1       ready     256     256    -         -              0.1.0
records  R1       ready     256     128    broker    3 of 4: 1-2,4  0.1.0
records  R2       draining  256     128    broker    0 of 4         0.1.0
records  R3       ready     256     128    broker    1 of 4: 3      0.1.0

SERVICE  INSTANCES  APIS
echo     1 of 1     frames
records  2 of 3     Produce 0-13, Fetch 4-18
records  1 of 3     Produce 3-9
`, "\n")
	if got := example().text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusOfNothing(t *testing.T) {
	st := &Status{Cluster: "kanal", NATSAway: true}
	want := "cluster kanal: 0 front ends, 0 handlers\nNATS cannot be reached; this is what was seen last\n"
	if got := st.text(); got != want {
		t.Errorf("got %q", got)
	}
}

// The JSON has the announcements' own names, so that one jq expression serves
// both, and what follows from them.
func TestStatusJSON(t *testing.T) {
	text, err := output{json: true}.render(example(), true)
	if err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("not one line: %q, %v", text, err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	r1 := got["handlers"].([]any)[1].(map[string]any)
	if r1["service"] != "records" || r1["window"] != 256.0 || r1["share"] != 128.0 || len(r1["holds"].([]any)) != 3 || r1["affinity"] != "broker" {
		t.Errorf("got %v", r1)
	}
}

// Numbers that rise with every announcement are no change.
func TestStableStatus(t *testing.T) {
	a, b := example(), example()
	b.FrontEnds[0].Number, b.Handlers[2].Number = 17, 18
	before, _ := output{json: true}.render(a, true)
	b.stable()
	if after, _ := (output{json: true}).render(b, true); after != before {
		t.Errorf("%s is not %s", after, before)
	}
}

func TestRanges(t *testing.T) {
	for want, numbers := range map[string][]int32{"": nil, "7": {7}, "1-3": {1, 2, 3}, "1,3-4,9": {1, 3, 4, 9}} {
		if got := ranges(numbers); got != want {
			t.Errorf("%v became %q", numbers, got)
		}
	}
}
