package admin

import "encoding/json"

// Connections is one page of a front end's open connections, in no order that
// means anything.
type Connections struct {
	FrontEnd    string       `json:"frontEnd"`
	Connections []Connection `json:"connections"`
	// Next, given as the argument after, is the next page; empty: there is none.
	Next string `json:"next,omitempty"`
}

// Connection is an open connection. Text of clients is cut after 256 bytes.
type Connection struct {
	ID               string  `json:"id"` // for people, logs and closing (E3)
	Listener         string  `json:"listener"`
	SecurityProtocol string  `json:"securityProtocol"`
	Principal        string  `json:"principal"`
	Address          string  `json:"address"` // numeric, without port
	Software         string  `json:"software"`
	SoftwareVersion  string  `json:"softwareVersion"`
	Broker           int32   `json:"broker"` // by the port; 0: bootstrap
	Processor        int     `json:"processor"`
	State            string  `json:"state"`
	AgeSeconds       float64 `json:"ageSeconds"`
	Requests         uint64  `json:"requests"`
	ReceivedBytes    uint64  `json:"receivedBytes"`
	SentBytes        uint64  `json:"sentBytes"`
}

// Requests are a front end's requests: the oldest in flight, the oldest first,
// and the newest that have ended, the oldest first, where its request log keeps
// them.
type Requests struct {
	FrontEnd string            `json:"frontEnd"`
	InFlight []Request         `json:"inFlight"`
	Ended    []json.RawMessage `json:"ended,omitempty"`
}

// Where a request is.
const (
	Queued  = "queued"  // it waits in the front end for a handler's window
	Handled = "handler" // a handler has it
	Parked  = "parked"  // a handler has it as a long poll
	Writing = "writing" // its answer has not reached the socket whole
)

// Request is a request in flight. Text of clients is cut after 256 bytes.
type Request struct {
	API        string  `json:"api"` // or the service that gets whole frames
	Version    int16   `json:"version"`
	AgeSeconds float64 `json:"ageSeconds"` // since its last byte was read
	Where      string  `json:"where"`
	// WhereSeconds is how long it has been there; not known of what is queued
	// again, or being written.
	WhereSeconds  float64 `json:"whereSeconds,omitempty"`
	Service       string  `json:"service,omitempty"`
	Handler       string  `json:"handler,omitempty"` // that has it, or has answered it
	Redelivered   bool    `json:"redelivered,omitempty"`
	Redirects     uint8   `json:"redirects,omitempty"`
	Bytes         int     `json:"bytes"`
	Connection    string  `json:"connection"`
	Listener      string  `json:"listener"`
	Principal     string  `json:"principal"`
	Address       string  `json:"address"`
	ClientID      string  `json:"clientId,omitempty"`
	CorrelationID int32   `json:"correlationId"`
}

// Handlers are the handler instances as a front end sees them, by service and id.
type Handlers struct {
	FrontEnd string    `json:"frontEnd"`
	Handlers []Handler `json:"handlers"`
	// Queued are the requests that wait for a window, by service.
	Queued map[string]int64 `json:"queued"`
}

// Handler is an instance as one front end sees it.
type Handler struct {
	ID          string `json:"id"`
	Service     string `json:"service"`
	State       string `json:"state"`       // ready or draining: gets nothing new
	Window      int    `json:"window"`      // this front end's share of it
	Outstanding int    `json:"outstanding"` // requests within the window
	Parked      int    `json:"parked"`      // long polls, outside of it
	// OldestParkedSeconds is the age of the oldest of those.
	OldestParkedSeconds float64 `json:"oldestParkedSeconds,omitempty"`
	// HeardSeconds is how long ago it last answered anything, while it owes.
	HeardSeconds float64 `json:"heardSeconds,omitempty"`
}

// Done says what an action has begun.
type Done struct {
	Done string `json:"done"`
}

// longest bounds text of clients, in bytes.
const longest = 256

// Cut bounds text that comes from a client.
func Cut(s string) string { return s[:min(len(s), longest)] }
