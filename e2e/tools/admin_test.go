package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
	"kanal/services/kanalctl"
	"kanal/services/loadgen"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// token is the front end's of TestAdministration.
const token = "e2e-token"

// TestAdministration looks into a cluster of processes under use, and acts.
func TestAdministration(t *testing.T) {
	c := process.StartClusterWith(t, process.Env{"KANAL_HTTP_TOKEN": token})
	t.Setenv("KANAL_NATS_URL", c.NATSURL)
	t.Run("parked fetch", func(t *testing.T) { parkedFetchIsSeen(t, c) })
	t.Run("close", func(t *testing.T) { connectionIsClosed(t, c) })
	t.Run("over HTTP", func(t *testing.T) { actionsOverHTTP(t, c) })
	t.Run("drain under load", func(t *testing.T) { handlersDrainUnderLoad(t, c) })
}

// say runs kanalctl with -json.
func say[A any](t *testing.T, args ...string) (answer A) {
	t.Helper()
	text := kanalctlSays(t, append(args, "-json")...)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return answer
}

func client(t *testing.T, c *process.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.Bootstrap))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// A fetch that waits for records is seen where it is, by whom and since when, in
// requests, handlers and metrics, and so is its connection.
func parkedFetchIsSeen(t *testing.T, c *process.Cluster) {
	if _, err := kadm.NewClient(client(t, c)).CreateTopic(limited(t), 1, 1, nil, "quiet"); err != nil {
		t.Fatal(err)
	}
	consumer := client(t, c, kgo.ClientID("watched"), kgo.ConsumeTopics("quiet"), kgo.FetchMaxWait(45*time.Second))
	go consumer.PollFetches(t.Context())
	var connection, handler string
	process.Poll(t, 30*time.Second, "a parked fetch that gets older", func() error {
		r := say[kanalctl.Requests](t, "requests", "api=Fetch", "where=parked", "client=watched")
		if len(r.FrontEnds) != 1 || len(r.FrontEnds[0].InFlight) != 1 {
			return fmt.Errorf("got %+v", r)
		}
		q := r.FrontEnds[0].InFlight[0]
		if q.AgeSeconds < 1 || q.WhereSeconds > q.AgeSeconds || q.Service != "records" || q.Principal != "User:ANONYMOUS" {
			return fmt.Errorf("got %+v", q)
		}
		connection, handler = q.Connection, q.Handler
		return nil
	})
	h := say[kanalctl.Handlers](t, "handlers")
	seen := false
	for _, i := range h.Handlers {
		if i.ID == handler {
			seen = i.Parked >= 1 && i.OldestParkedSeconds >= 1 && i.Service == "records" && i.Window > 0
		}
	}
	if !seen || len(h.Handlers) != 8 {
		t.Errorf("%s is not among %+v", handler, h.Handlers)
	}
	list := say[kanalctl.Connections](t, "connections", "id="+connection)
	if len(list.FrontEnds) != 1 || len(list.FrontEnds[0].Connections) != 1 {
		t.Fatalf("got %+v", list)
	}
	if conn := list.FrontEnds[0].Connections[0]; conn.State != "in_flight" || conn.Software != "kgo" || conn.Listener != "PLAINTEXT" || conn.Requests < 2 || conn.ReceivedBytes == 0 || conn.SentBytes == 0 || conn.AgeSeconds < 1 {
		t.Errorf("got %+v", conn)
	}
	if age := c.FrontEnd.Metric(t, "kanal_request_channel_oldest_parked_age_seconds", "handler", handler); age < 1 {
		t.Errorf("the metric tells an age of %v s", age)
	}
	for _, command := range []string{"requests", "connections"} {
		if text := kanalctlSays(t, command); !strings.Contains(text, connection) {
			t.Errorf("%s: %s does not show %s", command, text, connection)
		}
	}
	if text := kanalctlSays(t, "handlers"); !strings.Contains(text, handler) {
		t.Errorf("%s does not show %s", text, handler)
	}
	if text := kanalctlSays(t, "frontends"); !strings.Contains(text, c.Bootstrap) {
		t.Errorf("%s does not show %s", text, c.Bootstrap)
	}
	if err := kanalctl.Run(limited(t), []string{"requests", "clint=watched"}, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), `"clint"`) {
		t.Errorf("a filter that is none: %v", err)
	}
}

// frames dials the listener whose frames come back.
func frames(t *testing.T, c *process.Cluster) (conn net.Conn, echo func() error) {
	t.Helper()
	conn, err := net.Dial("tcp", c.Frames)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, func() error {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write([]byte("\x00\x00\x00\x02hi")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 6))
		return err
	}
}

// only gives the id of the only connection of the listener for frames.
func only(t *testing.T) string {
	t.Helper()
	list := say[kanalctl.Connections](t, "connections", "listener=FRAMES", "state=idle")
	if len(list.FrontEnds) != 1 || len(list.FrontEnds[0].Connections) != 1 {
		t.Fatalf("got %+v", list)
	}
	return list.FrontEnds[0].Connections[0].ID
}

// A closed connection's client reads the end of the stream, and no reset; the
// reason is counted, and the log says who asked.
func connectionIsClosed(t *testing.T, c *process.Cluster) {
	conn, echo := frames(t, c)
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	id := only(t)
	kanalctlSays(t, "close", id)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the client reads %d bytes and %v", n, err)
	}
	if n := c.FrontEnd.Metric(t, "kanal_connections_closed_total", "listener", "FRAMES", "reason", "closed_by_administrator"); n != 1 {
		t.Errorf("%v are counted", n)
	}
	if log := c.FrontEnd.Log(); !strings.Contains(log, "closed a connection: an administrator asked for it") || !strings.Contains(log, "@") {
		t.Error("the log does not say who asked")
	}
	if err := kanalctl.Run(limited(t), []string{"close", id}, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("closed again: %v", err)
	}
}

// The same over HTTP, for who knows the token.
func actionsOverHTTP(t *testing.T, c *process.Cluster) {
	ask := func(method, path, token string) (int, string) {
		q, err := http.NewRequestWithContext(limited(t), method, "http://"+c.FrontEnd.HTTP+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			q.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	conn, echo := frames(t, c)
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	path := "/close?connection=" + only(t)
	for _, bad := range []string{"", "wrong"} {
		if status, body := ask("POST", path, bad); status != http.StatusForbidden || !strings.Contains(body, "KANAL_HTTP_TOKEN") {
			t.Errorf("token %q: %d %s", bad, status, body)
		}
	}
	if status, _ := ask("GET", path, token); status != http.StatusMethodNotAllowed {
		t.Errorf("GET closes: %d", status)
	}
	if err := echo(); err != nil {
		t.Fatalf("closed by a refused request: %v", err)
	}
	if status, body := ask("POST", path, token); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client reads %v", err)
	}
	if status, body := ask("POST", "/drain?handler=nobody", token); status != http.StatusNotFound {
		t.Errorf("drain of nobody: %d %s", status, body)
	}
	for _, page := range []string{"/connections?limit=1", "/requests", "/handlers"} {
		if status, body := ask("GET", page, ""); status != http.StatusOK || !strings.Contains(body, `"frontEnd"`) {
			t.Errorf("%s: %d %s", page, status, body)
		}
	}
}

// An instance of echo and one of records are drained while frames and records
// flow: no request fails, their processes end in order, and their logs say who
// asked.
func handlersDrainUnderLoad(t *testing.T, c *process.Cluster) {
	type outcome struct {
		mode loadgen.Mode
		r    *loadgen.Result
		err  error
	}
	outcomes := make(chan outcome, 2)
	for mode, addr := range map[loadgen.Mode]string{loadgen.ModeFrames: c.Frames, loadgen.ModeProduce: c.Bootstrap} {
		cfg := config(addr)
		cfg.Mode, cfg.Topic, cfg.Duration = mode, "drained", 12*time.Second
		go func() {
			r, err := loadgen.Drive(limited(t), cfg, nil)
			outcomes <- outcome{mode, r, err}
		}()
	}
	process.Poll(t, 30*time.Second, "load", func() error {
		if c.FrontEnd.Metric(t, "kanal_requests_total", "api", "echo") < 1000 || c.FrontEnd.Metric(t, "kanal_requests_total", "api", "Produce") < 100 {
			return errors.New("little is answered")
		}
		return nil
	})
	for _, service := range []string{"echo", "records"} {
		drainOne(t, c, service)
	}
	for range 2 {
		o := <-outcomes
		if o.err != nil || o.r.Errors != 0 || o.r.Requests == 0 {
			t.Errorf("%v: %v, %s", o.mode, o.err, o.r)
		}
	}
}

func drainOne(t *testing.T, c *process.Cluster, service string) {
	var id string
	for _, h := range say[kanalctl.Handlers](t, "handlers").Handlers {
		if h.Service == service {
			id = h.ID
		}
	}
	if text := kanalctlSays(t, "drain", id); !strings.Contains(text, "has left") {
		t.Errorf("drain of %s: %s", service, text)
	}
	for _, p := range c.Instances[service] {
		if !strings.Contains(p.Log(), `"handler":"`+id+`"`) {
			continue
		}
		if code := p.Exit(t); code != 0 || !strings.Contains(p.Log(), "draining: an administrator asked for it") {
			t.Errorf("%s ended with %d", p, code)
		}
		return
	}
	t.Errorf("no process of %s has logged %s", service, id)
}
