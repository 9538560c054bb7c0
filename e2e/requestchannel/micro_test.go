package requestchannel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"kanal/libs/protocol"
	rc "kanal/libs/requestchannel"
)

// everyone asks on a subject of NATS' service protocol and returns what comes
// from as many as are expected, or fails.
func everyone[T any](t *testing.T, nc *nats.Conn, subject string, expected int) (out []T) {
	t.Helper()
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err == nil {
		err = nc.PublishRequest(subject, inbox, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for range expected {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatalf("%s: %d of %d answered: %v", subject, len(out), expected, err)
		}
		out = append(out, strict[T](t, m.Data))
	}
	return out
}

// strict reads what micro's own types have and nothing else.
func strict[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

// An instance shows itself to `nats micro ls`, `info` and `stats` beside what
// nats.go's micro package registers, with numbers by api.
func TestVisibleToMicroTooling(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	apis := func(c *rc.ServerConfig) {
		c.APIs = protocol.Ranges{protocol.Produce: {Min: 3, Max: 13}, protocol.Fetch: {Min: 4, Max: 18}}
	}
	serve := func(i *instance, in *rc.Incoming) {
		switch string(in.Frame) {
		case "close":
			in.Close()
		case "work":
			time.Sleep(2 * time.Millisecond)
			fallthrough
		default:
			echo(i, in)
		}
	}
	one, frames := newInstance(t, url, "records", apis, serve), newInstance(t, url, "echo", nil, echo)
	nc := connect(t, url)
	other, err := micro.AddService(nc, micro.Config{Name: "other", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Stop() }()
	f := newFrontEnd(t, url, nil)
	eventually(t, "both are seen", func() bool { return len(f.View().Handlers()) == 2 })
	f.answer(t, f.send(t, "echo", 0, []byte("x")))
	for range 3 {
		f.answer(t, f.sendKey(t, protocol.Fetch, []byte("work")))
	}
	f.answer(t, f.sendKey(t, protocol.Produce, []byte("x")))
	f.answer(t, f.sendKey(t, protocol.Produce, []byte("close")))

	pings := map[string]micro.Ping{}
	for _, p := range everyone[micro.Ping](t, nc, "$SRV.PING", 3) {
		pings[p.Name] = p
	}
	if p := pings["kanal-records"]; p.ID != one.ID() || p.Type != micro.PingResponseType || p.Version != "0.0.1" || p.Metadata["cluster"] != "test" {
		t.Errorf("%+v", pings)
	}
	if p := pings["kanal-echo"]; p.ID != frames.ID() {
		t.Errorf("%+v", pings)
	}

	info := everyone[micro.Info](t, nc, "$SRV.INFO.kanal-records", 1)[0]
	if info.Type != micro.InfoResponseType || len(info.Endpoints) != 2 || info.Endpoints[1].Name != "Fetch" ||
		info.Endpoints[1].Metadata["max"] != "18" || info.Endpoints[0].Subject != subjects.Request(one.ID()) {
		t.Errorf("%+v", info)
	}

	stats := everyone[micro.Stats](t, nc, "$SRV.STATS.kanal-records."+one.ID(), 1)[0]
	got := map[string]string{}
	for _, e := range stats.Endpoints {
		got[e.Name] = fmt.Sprint(e.NumRequests, e.NumErrors)
		if e.Name == "Fetch" && (e.ProcessingTime < 6*time.Millisecond || e.AverageProcessingTime != e.ProcessingTime/3) {
			t.Errorf("Fetch ran 3 times 2 ms: %+v", e)
		}
	}
	if got["Fetch"] != "3 0" || got["Produce"] != "2 1" || stats.Type != micro.StatsResponseType || stats.Started.IsZero() {
		t.Errorf("%v of %+v", got, stats)
	}
	if s := everyone[micro.Stats](t, nc, "$SRV.STATS.kanal-echo", 1)[0]; len(s.Endpoints) != 1 || s.Endpoints[0].Name != "frames" || s.Endpoints[0].NumRequests != 1 {
		t.Errorf("%+v", s)
	}
	one.stop()
	if _, err := nc.Request("$SRV.PING.kanal-records", nil, 10*time.Second); err != nats.ErrNoResponders {
		t.Errorf("after its end: %v", err)
	}
}

// sendKey sends a frame as a request of an api to the service records.
func (f *frontEnd) sendKey(t *testing.T, key protocol.APIKey, frame []byte) uint64 {
	t.Helper()
	f.token++
	if !f.Submit(&rc.Call{Route: f.Route("records"), Token: f.token, APIKey: key, Origin: f.origin, Frame: frame, Received: now()}) {
		t.Fatal("refused")
	}
	f.Flush(0)
	return f.token
}
