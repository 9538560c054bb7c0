package socketserver_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kanal/libs/socketserver"
)

var rewrite = flag.Bool("rewrite", false, "write the stories in testdata anew, with the events as they come")

// TestStories plays the scripts of testdata/stories over plaintext and TLS, which must make no difference (rows E5, G1,
// G2, J1, J4, J5, J7, M8). A script is blocks: commands, a line ----, and the events that they lead to.
//
//	connect a              a client
//	send a 1 2             requests by their numbers
//	part a 1               all of a request but its last byte; rest a 1: that byte
//	violate a              a size that is not allowed
//	finish a | leave a     shuts down its writing half | closes
//	reset a                closes with RST
//	answer a 1 [throttle]  a handler's answer; noop a 1, hangup a 1: its other outcomes
//	full | room            the request channel takes nothing | takes what waits
//	quiet                  for a while nothing happens
//
// Events are listed by connection, then by kind; they come from several goroutines, and only those of one kind have an
// order.
func TestStories(t *testing.T) {
	scripts, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	transports := map[string]func(*testing.T) *story{
		"plaintext": func(t *testing.T) *story { return newStory(t, start(t), func(c client) net.Conn { return c }) },
	}
	for name, version := range bothVersions {
		transports[name] = func(t *testing.T) *story {
			e := startTLS(t, nil)
			return newStory(t, e.fixture, func(c client) net.Conn { return tls.Client(c, only(e.client(), version)) })
		}
	}
	for _, script := range scripts {
		for name, begin := range transports {
			if *rewrite && name != "plaintext" {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(script), ".txt")+"/"+name, func(t *testing.T) { play(t, script, begin(t)) })
		}
	}
}

// story is a script that is being played.
type story struct {
	*fixture
	t     *testing.T
	over  func(client) net.Conn
	reads sync.WaitGroup

	mu     sync.Mutex
	names  map[string]string // of clients, by address
	conns  map[string]*actor
	tokens map[uint64]string
	held   map[string]held // requests by name and number
	events []event
}

// actor is a client of a story.
type actor struct {
	net.Conn
	raw client
}

type event struct {
	name string
	kind kind
	text string
}

// kind is where an event was seen, in the order in which events are listed.
type kind int

const (
	outcomes kind = iota
	requested
	halfClosed
	closed
	atClient
)

func newStory(t *testing.T, f *fixture, over func(client) net.Conn) *story {
	s := &story{fixture: f, t: t, over: over, names: map[string]string{}, conns: map[string]*actor{},
		tokens: map[uint64]string{}, held: map[string]held{}}
	stop := make(chan struct{})
	s.reads.Go(func() { s.listen(stop) })
	f.log.follow(s.logged)
	t.Cleanup(func() {
		f.log.follow(nil)
		close(stop)
		for _, a := range s.conns {
			a.raw.Close()
		}
		s.reads.Wait()
	})
	return s
}

func (s *story) happen(name string, k kind, format string, args ...any) {
	s.events = append(s.events, event{name, k, fmt.Sprintf(format, args...)})
}

// listen is the request channel's side.
func (s *story) listen(stop chan struct{}) {
	for {
		select {
		case r := <-s.requests:
			s.mu.Lock()
			_, client, _ := strings.Cut(r.conn.ID, "-")
			name := s.names[client[:strings.IndexByte(client, '-')]]
			s.tokens[r.token], s.held[fmt.Sprint(name, r.correlation)] = name, r
			s.happen(name, requested, "request %d", r.correlation)
			s.mu.Unlock()
		case g := <-s.gone:
			s.mu.Lock()
			if name, known := s.tokens[g.token]; known && g.half {
				s.happen(name, halfClosed, "half closed")
			}
			s.mu.Unlock()
		case <-stop:
			return
		}
	}
}

// logged hears every line of the log: it names the reason of a close.
func (s *story) logged(line string) {
	if !strings.Contains(line, `msg="connection closed"`) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	client := strings.SplitN(attribute(line, "conn"), "-", 3)[1]
	s.happen(s.names[client], closed, "closed: %s", attribute(line, "reason"))
}

func attribute(line, key string) string {
	_, rest, _ := strings.Cut(line, key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return strings.TrimSpace(value)
}

// told is the completer of one answer.
type told struct {
	s            *story
	name, number string
}

// Completed is socketserver.Completer's.
func (o told) Completed(outcome socketserver.Outcome, _ int64) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.s.happen(o.name, outcomes, "outcome of %s: %s", o.number, outcome)
}

func (s *story) do(command string) {
	s.t.Helper()
	words := strings.Fields(command)
	name := ""
	if len(words) > 1 {
		name = words[1]
	}
	switch words[0] {
	case "connect":
		s.connect(name)
	case "send":
		for _, n := range words[2:] {
			s.write(name, numbered(s.t, n))
		}
	case "part":
		b := numbered(s.t, words[2])
		s.write(name, b[:len(b)-1])
	case "rest":
		b := numbered(s.t, words[2])
		s.write(name, b[len(b)-1:])
	case "violate":
		s.write(name, []byte{0xff, 0xff, 0xff, 0xff})
	case "finish":
		s.finish(name)
	case "leave":
		s.conns[name].Close()
	case "reset":
		s.conns[name].raw.reset()
	case "answer", "noop", "hangup":
		s.outcome(words)
	case "full":
		s.setRoom(0)
	case "room":
		s.setRoom(1 << 20)
		s.server.Processors()[0].Resume()
	case "quiet":
		time.Sleep(quiet)
	default:
		s.t.Fatalf("what is %q?", command)
	}
}

func numbered(t *testing.T, n string) []byte {
	i, err := strconv.Atoi(n)
	if err != nil {
		t.Fatal(err)
	}
	return request(int32(i))
}

func (s *story) connect(name string) {
	raw := s.dial(s.t)
	s.mu.Lock()
	s.names[raw.LocalAddr().String()] = name
	s.mu.Unlock()
	a := &actor{s.over(raw), raw}
	if c, ok := a.Conn.(*tls.Conn); ok {
		if err := c.Handshake(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.conns[name] = a
	s.reads.Go(func() { s.read(name, a) })
}

// write is in one piece; a connection that was closed meanwhile is for the reader to see.
func (s *story) write(name string, b []byte) { _, _ = s.conns[name].Write(b) }

func (s *story) finish(name string) {
	if c, ok := s.conns[name].Conn.(*tls.Conn); ok {
		c.CloseWrite()
	}
	s.conns[name].raw.CloseWrite()
}

// read is the client's side: answers, then how it ends, unless it is the client that closes.
func (s *story) read(name string, a *actor) {
	for {
		var head [8]byte
		_, err := io.ReadFull(a, head[:])
		if err == nil {
			_, err = io.CopyN(io.Discard, a, int64(binary.BigEndian.Uint32(head[:]))-4)
		}
		s.mu.Lock()
		switch {
		case err == nil:
			s.happen(name, atClient, "gets answer %d", binary.BigEndian.Uint32(head[4:]))
		case err == io.EOF:
			s.happen(name, atClient, "gets end")
		case !errors.Is(err, net.ErrClosed):
			s.happen(name, atClient, "gets reset")
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *story) outcome(words []string) {
	s.t.Helper()
	s.mu.Lock()
	r, here := s.held[words[1]+words[2]]
	s.mu.Unlock()
	if !here {
		s.t.Fatalf("%s has no request %s", words[1], words[2])
	}
	response := socketserver.Response{Completer: told{s, words[1], words[2]}}
	switch words[0] {
	case "answer":
		response.Frame = answerFrame(r.correlation, nil)
	case "noop":
		response.Kind = socketserver.NoOp
	case "hangup":
		response.Kind = socketserver.CloseConnection
	}
	if len(words) > 3 {
		var err error
		if response.Throttle, err = time.ParseDuration(words[3]); err != nil {
			s.t.Fatal(err)
		}
	}
	s.respond(r, response)
}

// take gives the events, once there are as many as expected; with -rewrite those that come before it is quiet.
func (s *story) take(want int) []string {
	s.t.Helper()
	here := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.events)
	}
	if *rewrite {
		for before := -1; before != here(); time.Sleep(10 * quiet) {
			before = here()
		}
	}
	for deadline := time.Now().Add(patience); here() < want && time.Now().Before(deadline); {
		time.Sleep(100 * time.Microsecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.events, func(a, b event) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return int(a.kind - b.kind)
	})
	var out []string
	for _, e := range s.events {
		out = append(out, e.name+" "+e.text)
	}
	s.events = nil
	return out
}

// play runs a script and holds the events against it, or writes them.
func play(t *testing.T, script string, s *story) {
	b, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(b)), "\n\n") {
		commands, expected, scene := strings.Cut(block, "----")
		var want []string
		if expected = strings.TrimSpace(expected); expected != "" {
			want = strings.Split(expected, "\n")
		}
		for _, command := range strings.Split(strings.TrimSpace(commands), "\n") {
			if !strings.HasPrefix(command, "#") {
				s.do(command)
			}
		}
		got := s.take(len(want))
		if !*rewrite && scene && !slices.Equal(got, want) {
			t.Fatalf("%s\n%s\nwant\n%s", commands, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		written.WriteString(strings.TrimSpace(commands) + "\n")
		if scene {
			written.WriteString(strings.Join(append([]string{"----"}, got...), "\n") + "\n")
		}
		written.WriteString("\n")
	}
	if *rewrite {
		if err := os.WriteFile(script, []byte(strings.TrimSpace(written.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	time.Sleep(quiet)
	if late := s.take(0); len(late) > 0 {
		t.Errorf("nothing more should happen, and did:\n%s", strings.Join(late, "\n"))
	}
}
