package requestchannel

import (
	"encoding/json"
	"fmt"

	"kanal/libs/future"
	"kanal/libs/protocol"
)

// AnnouncementVersion is the version of the announcements' JSON. Fields are
// only added; a reader ignores those it does not know.
const AnnouncementVersion = 1 + future.Version

// States of an instance as it announces them.
const (
	StateReady    = "ready"
	StateDraining = "draining" // takes nothing new, finishes what it holds
	StateGone     = "gone"     // last announcement of an orderly end
)

// Affinity tells how a service wants its requests spread over its instances.
type Affinity string

// Affinities.
const (
	AffinityNone     Affinity = ""
	AffinityByBroker Affinity = "broker" // each broker is held by one instance
)

// Handler is the announcement of one handler instance.
type Handler struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Number  uint64 `json:"number"` // rises with every announcement of this id
	// Session rises when the instance reconnected to NATS: answers it had under
	// way may be lost, and what it owes is dispatched again.
	Session  uint64 `json:"session"`
	Service  string `json:"service"`
	Release  string `json:"release"`
	State    string `json:"state"`
	Affinity `json:"affinity,omitempty"`
	// APIs gives the versions answered, by the api key's number.
	APIs protocol.Ranges `json:"apis,omitempty"`
	// Ordered lists the apis that must go one after the other on a connection.
	Ordered []protocol.APIKey `json:"ordered,omitempty"`
	// Window is how many requests it will hold at once, over all front ends.
	Window int `json:"window"`
	// FrontEnds is how many front ends share the window.
	FrontEnds int `json:"frontEnds"`
}

// Share is what one front end may have outstanding here: at least 1.
func (h *Handler) Share() int { return max(1, h.Window/max(1, h.FrontEnds)) }

// FrontEnd is the announcement of one front end.
type FrontEnd struct {
	Version   int                `json:"v"`
	ID        string             `json:"id"`
	Number    uint64             `json:"number"`
	Release   string             `json:"release"`
	State     string             `json:"state"`
	Addresses map[string]Address `json:"addresses,omitempty"` // by listener name
	// Draining gives the announcement numbers at which this front end saw
	// handlers draining: it sends them nothing any more.
	Draining map[string]uint64 `json:"draining,omitempty"`
	// Config is what it runs with; nil for one that follows no configs of brokers.
	Config *FrontEndConfig `json:"config,omitempty"`
}

// FrontEndConfig is what a front end says of its configuration.
type FrontEndConfig struct {
	// Environment is what its environment sets to other values than the defaults,
	// by the keys of broker configs.
	Environment map[string]string `json:"environment,omitempty"`
	// Applied is the revision of the cluster's broker configs that it runs with.
	Applied uint64 `json:"applied"`
	// Seen is the newest revision that it knows, and Error why it does not run
	// with that.
	Seen  uint64 `json:"seen"`
	Error string `json:"error,omitempty"`
}

// Address is where clients reach a listener of a front end.
type Address struct {
	Host    string `json:"host"`
	Port    int    `json:"port"`
	Brokers int    `json:"brokers"`
}

// PortOf is the port of a broker: the listener's own when there is one broker,
// else broker i's is i above it, because librdkafka up to 2.0 folds brokers
// behind one address into one.
func (a Address) PortOf(broker int32) int {
	if a.Brokers <= 1 {
		return a.Port
	}
	return a.Port + int(broker)
}

// parseHandler reads an announcement of a handler.
func parseHandler(b []byte) (*Handler, error) {
	h := new(Handler)
	if err := json.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("read handler announcement: %w", err)
	}
	if h.Version < 1 || h.ID == "" || h.Service == "" || h.Window < 1 || !legalToken(h.ID) {
		return nil, fmt.Errorf("read handler announcement: version %d, id %q, service %q, window %d", h.Version, h.ID, h.Service, h.Window)
	}
	return h, nil
}

func parseFrontEnd(b []byte) (*FrontEnd, error) {
	f := new(FrontEnd)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("read front end announcement: %w", err)
	}
	if f.Version < 1 || f.ID == "" || !legalToken(f.ID) {
		return nil, fmt.Errorf("read front end announcement: version %d, id %q", f.Version, f.ID)
	}
	return f, nil
}

// legalToken tells whether s can be one token of a subject.
func legalToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == '.' || c == '*' || c == '>' || c == 0x7f {
			return false
		}
	}
	return s != ""
}
