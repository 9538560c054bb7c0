package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
)

var subjects = requestchannel.Subjects{Prefix: "kanal", Cluster: "test"}

// client plays the front end: it announces itself, sends Kafka requests in
// envelopes to the handlers that are announced, and follows redirects.
type client struct {
	id   string
	nc   *nats.Conn
	view *requestchannel.View
	ids  atomic.Uint64

	mu      sync.Mutex
	waiting map[uint64]chan requestchannel.Response
	parts   map[uint64][]byte
	parked  atomic.Int64 // notices seen
}

func newClient(t testing.TB, s *server.Server, brokers int) *client {
	t.Helper()
	nc, _ := connect(t, s)
	view, err := requestchannel.NewView(nc, subjects, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(view.Close)
	c := &client{id: nuidLike(), nc: nc, view: view, waiting: map[uint64]chan requestchannel.Response{}, parts: map[uint64][]byte{}}
	for _, subject := range []string{subjects.Response(c.id, 0), subjects.LargeResponse(c.id)} {
		if _, err := nc.Subscribe(subject, c.receive); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var announcing sync.WaitGroup
	announcing.Go(func() { c.announce(stop, brokers) })
	t.Cleanup(func() { close(stop); announcing.Wait() })
	return c
}

var clients atomic.Int64

func nuidLike() string { return fmt.Sprintf("client-%d", clients.Add(1)) }

func (c *client) announce(stop chan struct{}, brokers int) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	changed := make(chan struct{}, 1)
	c.view.OnChange(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for n := uint64(1); ; n++ {
		c.announceAs(requestchannel.StateReady, n, brokers)
		select {
		case <-stop:
			c.announceAs(requestchannel.StateGone, n+1, brokers)
			return
		case <-tick.C:
		case <-changed:
		}
	}
}

func (c *client) announceAs(state string, number uint64, brokers int) {
	announcement, _ := json.Marshal(requestchannel.FrontEnd{
		Version: requestchannel.AnnouncementVersion, ID: c.id, Number: number, State: state,
		Addresses: map[string]requestchannel.Address{
			"PLAINTEXT": {Host: c.id + ".example", Port: 9092, Brokers: brokers},
			"OTHER":     {Host: "other.example", Port: 19092, Brokers: brokers},
		},
		Draining: c.draining(),
	})
	_ = c.nc.Publish(subjects.FrontEnds(), announcement) // fails only when the test's server is gone
}

// draining tells the instances that drain that they have been seen to.
func (c *client) draining() map[string]uint64 {
	out := make(map[string]uint64)
	for _, h := range c.view.Handlers() {
		if h.State == requestchannel.StateDraining {
			out[h.ID] = h.Number
		}
	}
	return out
}

func (c *client) receive(m *nats.Msg) {
	var r requestchannel.Response
	if requestchannel.ParseResponse(m.Data, &r) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Kind == requestchannel.Parked {
		c.parked.Add(1)
		return
	}
	if r.Parts > 1 {
		c.parts[r.ID] = append(c.parts[r.ID], r.Frame...)
		if r.Part+1 < r.Parts {
			return
		}
		r.Frame = c.parts[r.ID]
		delete(c.parts, r.ID)
	}
	if ch := c.waiting[r.ID]; ch != nil {
		delete(c.waiting, r.ID)
		ch <- r
	}
}

// options of a request that tests care about.
type options struct {
	listener string
	instance string // empty: whoever answers the api
	broker   int32
	must     bool
}

var errClosed = errors.New("connection closed by the handler")

// ask sends a request and returns its answer.
func (c *client) ask(ctx context.Context, req kmsg.Request, o options) (kmsg.Response, error) {
	instance := o.instance
	for redirects := uint8(0); ; redirects++ {
		r, err := c.send(ctx, req, o, &instance, redirects)
		if err != nil {
			return nil, err
		}
		switch r.Kind {
		case requestchannel.Send:
			return decode(req, r.Frame)
		case requestchannel.Redirect:
			if o.instance != "" {
				return nil, fmt.Errorf("redirected to %s", r.Target)
			}
			instance = r.Target
		case requestchannel.NotTaken:
			instance = o.instance
			time.Sleep(time.Millisecond)
		default:
			return nil, fmt.Errorf("%w: %s", errClosed, r.Kind)
		}
	}
}

func (c *client) send(ctx context.Context, req kmsg.Request, o options, instance *string, redirects uint8) (requestchannel.Response, error) {
	number, err := c.pick(ctx, req, instance)
	if err != nil {
		return requestchannel.Response{}, err
	}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 7)[4:]
	listener := o.listener
	if listener == "" {
		listener = "PLAINTEXT"
	}
	q := requestchannel.Request{
		ID: c.ids.Add(1), Token: 1, Announcement: number, APIKey: protocol.APIKey(req.Key()), APIVersion: req.GetVersion(),
		Broker: o.broker, Deadline: time.Minute, Granted: 1 << 20, Parts: 1, Total: uint32(len(frame)), Redirects: redirects,
		MustServe: o.must || redirects >= 2,
	}
	origin := requestchannel.AppendOrigin(nil, requestchannel.Origin{
		FrontEnd: c.id, ConnectionID: "test", Listener: listener, Principal: "User:ANONYMOUS", ClientAddress: "10.1.2.3",
	})
	ch := make(chan requestchannel.Response, 1)
	c.mu.Lock()
	c.waiting[q.ID] = ch
	c.mu.Unlock()
	defer c.forget(q.ID)
	m := &nats.Msg{Subject: subjects.Request(*instance), Reply: subjects.Response(c.id, 0), Data: append(requestchannel.AppendRequest(nil, &q, origin), frame...)}
	if err := c.nc.PublishMsg(m); err != nil {
		return requestchannel.Response{}, err
	}
	select {
	case r := <-ch:
		return r, nil
	case <-ctx.Done():
		c.cancel(*instance, q.ID)
		return requestchannel.Response{}, fmt.Errorf("%s: no answer: %w", protocol.APIKey(req.Key()), ctx.Err())
	}
}

func (c *client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// cancel tells a handler that the connection of a request is gone
// (docs/request-channel.md).
func (c *client) cancel(instance string, id uint64) {
	b := binary.BigEndian.AppendUint64([]byte{0x4b, requestchannel.EnvelopeVersion, 'C', 0, 0, 14}, id)
	_ = c.nc.PublishMsg(&nats.Msg{Subject: subjects.Request(instance), Reply: subjects.Response(c.id, 0), Data: b}) // fails only when the test's server is gone
}

// pick waits for a ready instance that answers the api.
func (c *client) pick(ctx context.Context, req kmsg.Request, instance *string) (number uint64, err error) {
	for {
		for _, h := range c.view.Handlers() {
			v, ok := h.APIs[protocol.APIKey(req.Key())]
			if ok && v.Contains(req.GetVersion()) && h.State == requestchannel.StateReady && (*instance == "" || *instance == h.ID) {
				*instance = h.ID
				return h.Number, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no instance for %s: %w", protocol.APIKey(req.Key()), ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func decode(req kmsg.Request, frame []byte) (kmsg.Response, error) {
	if len(frame) < 5 || binary.BigEndian.Uint32(frame) != 7 {
		return nil, fmt.Errorf("answer starts with % x", frame[:min(len(frame), 8)])
	}
	frame = frame[4:]
	if protocol.APIKey(req.Key()).ResponseHeaderFlexible(req.GetVersion()) {
		frame = frame[1:]
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(frame)
}

// call asks and fails the test on anything but an answer.
func call[R kmsg.Response](t testing.TB, c *client, version int16, req kmsg.Request, o ...options) R {
	t.Helper()
	var zero R
	req.SetVersion(version)
	var opt options
	if len(o) > 0 {
		opt = o[0]
	}
	resp, err := c.ask(testContext(t), req, opt)
	if err != nil {
		t.Errorf("%s v%d: %v", protocol.APIKey(req.Key()), version, err)
		return zero
	}
	return resp.(R)
}

// run runs a service until the test (or the returned function) ends it, and
// fails the test unless it ends in order.
func run(t testing.TB, r service.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("service ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("service did not end within 20 s")
		}
	})
	t.Cleanup(stop)
	return stop
}

func deps(s *server.Server) service.Deps {
	return service.Deps{Log: quiet, Metrics: prometheus.NewRegistry(), Connect: service.Connector(context.Background(), service.NATS{NATSURL: s.ClientURL()}, quiet)}
}
