package kanalctl

import (
	"strings"
	"testing"

	"kanal/libs/admin"
)

func TestInquiryArguments(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		wants arguments
		query string
		id    string
		json  bool
		says  string
	}{
		"none":             {wants: none},
		"too much":         {args: []string{"x"}, wants: none, says: `"x"`},
		"filters":          {args: []string{"state=idle", "-json", "limit=3"}, wants: filters, query: "limit=3&state=idle", json: true},
		"value with =":     {args: []string{"principal=User:CN=a"}, wants: filters, query: "principal=User%3ACN%3Da"},
		"no filter":        {args: []string{"idle"}, wants: filters, says: `"idle" is not`},
		"empty filter":     {args: []string{"=idle"}, wants: filters, says: `"=idle" is not`},
		"by is ours":       {args: []string{"by=root"}, wants: filters, says: `"by=root" is not`},
		"one":              {args: []string{"a=b", "--json"}, wants: one, id: "a=b", json: true},
		"two":              {args: []string{"a", "b"}, wants: one, says: `"b"`},
		"which":            {args: []string{"-json"}, wants: one, says: "which one"},
		"flag that is not": {args: []string{"a", "-watch"}, wants: one, says: "-watch"},
	} {
		q := &questions{args: map[string][]string{}}
		asJSON, err := q.parse(c.args, c.wants)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v does not say %s", name, err, c.says)
			}
		} else if err != nil || q.args.Encode() != c.query || q.name != c.id || asJSON != c.json {
			t.Errorf("%s: %q, %q, %v, %v", name, q.args.Encode(), q.name, asJSON, err)
		}
	}
}

func TestInspectTables(t *testing.T) {
	h := InHand{Handler: handler("records", "R1", "ready", 128, nil, nil).Handler, Outstanding: 3, Parked: 2, OldestParkedSeconds: 61.4}
	for name, c := range map[string]struct {
		table table
		want  string
	}{
		"handlers": {&Handlers{"kanal", []InHand{h}, []FrontEnd{{"F1", map[string]int64{"records": 7, "groups": 0}}}}, `
cluster kanal: 1 handler

SERVICE  HANDLER  STATE  WINDOW  OUTSTANDING  PARKED  OLDEST  RELEASE
records  R1       ready  256     3            2       1m1s    0.1.0

FRONT END  SERVICE  QUEUED
F1         records  7
`},
		"connections": {&Connections{"kanal", []admin.Connections{{FrontEnd: "F1", Next: "1.2", Connections: []admin.Connection{{
			ID: "a:1-b:2-0-0", Listener: "PLAINTEXT", Principal: "User:ANONYMOUS", Address: "b", Software: "kgo", SoftwareVersion: "1", State: "idle",
			AgeSeconds: 1.26, Requests: 4, ReceivedBytes: 999, SentBytes: 1_260_000}}}}}, `
cluster kanal: 1 connection and more (limit=N shows up to 500 of each front end)

CONNECTION   LISTENER   PRINCIPAL       CLIENT  SOFTWARE  STATE  AGE   REQUESTS  IN    OUT
a:1-b:2-0-0  PLAINTEXT  User:ANONYMOUS  b       kgo 1     idle   1.3s  4         999B  1.3MB
`},
		"requests": {&Requests{"kanal", []admin.Requests{{FrontEnd: "F1", InFlight: []admin.Request{{
			API: "Fetch", Version: 17, AgeSeconds: 0.0123, Where: "parked", WhereSeconds: 0.01, Service: "records", Handler: "R1", Principal: "User:a", Connection: "c"}}}}}, `
cluster kanal: 1 request in flight

API       AGE   WHERE   FOR   SERVICE  HANDLER  CLIENT  PRINCIPAL  CONNECTION
Fetch 17  12ms  parked  10ms  records  R1       -       User:a     c
`},
		"nothing": {&Requests{Cluster: "kanal"}, "\ncluster kanal: 0 requests in flight\n"},
		"done":    {&Done{Done: admin.Done{Done: "handler R1 has left"}}, "\nhandler R1 has left\n"},
	} {
		if got, want := c.table.text(), strings.TrimPrefix(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}
