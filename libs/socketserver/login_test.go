package socketserver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

// obedient is an authentication that does as its clients' frames say.
type obedient struct {
	working chan struct{} // gets one for each piece of work that has begun
	release chan struct{} // lets one end
}

func newObedient() *obedient {
	return &obedient{make(chan struct{}, 100), make(chan struct{}, 100)}
}

func (o *obedient) Authenticator(*socketserver.Connection) socketserver.Authenticator {
	return &obedience{obedient: o}
}

type obedience struct {
	*obedient
	word string
}

func (o *obedience) Receive(frame []byte) socketserver.AuthenticationStep {
	o.word = string(frame)
	if word, ok := strings.CutPrefix(o.word, "work "); ok {
		o.word = word
		return socketserver.AuthenticationStep{Verdict: socketserver.AuthenticationWorks, Work: func() {
			o.working <- struct{}{}
			<-o.release
		}}
	}
	return o.Finish()
}

func (o *obedience) Finish() socketserver.AuthenticationStep {
	step := socketserver.AuthenticationStep{Answer: []byte("answer to " + o.word)}
	switch o.word {
	case "in", "in for a while", "in again":
		step.Verdict, step.Principal, step.Endless = socketserver.Authenticated, "alice", o.word == "in"
		step.Again, step.Latency, step.KnowsLifetime = o.word == "in again", time.Millisecond, o.word == "in for a while"
	case "refuse", "refuse again", "refuse silently":
		step.Verdict, step.Reason, step.Err = socketserver.AuthenticationRefused, network.ReasonAuthenticationFailed, errors.New("told no secret")
		if step.Again = o.word == "refuse again"; o.word == "refuse silently" {
			step.Answer = nil
		}
	case "end":
		step.Verdict, step.Reason = socketserver.AuthenticationEnded, network.ReasonSessionExpired
	case "more":
	default:
		step = socketserver.AuthenticationStep{Verdict: socketserver.NotAuthentication}
	}
	return step
}

func (o *obedience) Oversized(err error) socketserver.AuthenticationStep {
	return socketserver.AuthenticationStep{Verdict: socketserver.AuthenticationRefused, Err: err}
}

func secured(o *obedient) socketserver.ListenerConfig {
	return socketserver.ListenerConfig{SecurityProtocol: "SASL_PLAINTEXT", Authentication: o, MaxReceiveBeforeLogin: 200}
}

// say sends a word and wants the answer.
func (c client) say(word string) {
	c.t.Helper()
	c.send(sized([]byte(word)))
	c.wantWord("answer to " + strings.TrimPrefix(word, "work "))
}

func (c client) wantWord(want string) {
	c.t.Helper()
	correlation, rest := c.receive()
	got := fmt.Sprintf("%c%c%c%c%s", byte(correlation>>24), byte(correlation>>16), byte(correlation>>8), byte(correlation), rest)
	if got != want {
		c.t.Fatalf("%q came, want %q", got, want)
	}
}

// N2, N12: frames are the authenticator's until it is done, and requests have the principal afterwards.
func TestLogin(t *testing.T) {
	f := start(t, secured(newObedient()))
	c := f.dial(t)
	c.say("more")
	c.say("more")
	f.none(t)
	c.say("in")
	c.send(request(1))
	r := f.next(t)
	if r.conn.Principal != "User:alice" || r.conn.Tag != nil {
		t.Errorf("%+v", r.conn)
	}
	f.answer(r)
	c.wantAnswer(1)
	if f.metric(t, "kanal_authentications_total", "successful") != 1 || f.metric(t, "kanal_authentications_without_reauthentication_total") != 1 {
		t.Error("not counted")
	}
}

// All at once: what is sent ahead waits for its turn.
func TestLoginInOneWrite(t *testing.T) {
	o := newObedient()
	f := start(t, secured(o))
	c := f.dial(t)
	c.send(append(append(append(sized([]byte("more")), sized([]byte("work more"))...), sized([]byte("in"))...), request(1)...))
	<-o.working
	f.none(t)
	o.release <- struct{}{}
	for _, word := range []string{"more", "more", "in"} {
		c.wantWord("answer to " + word)
	}
	f.answer(f.next(t))
	c.wantAnswer(1)
}

// The loop goes on while an authentication works, and no more than a few work at a time.
func TestLoginWorksBesideTheLoop(t *testing.T) {
	o := newObedient()
	f := start(t, secured(o))
	served := f.dial(t)
	served.say("in")
	var waiting []client
	for range 50 {
		c := f.dial(t)
		c.send(sized([]byte("work in")))
		waiting = append(waiting, c)
	}
	<-o.working
	served.send(request(1))
	f.answer(f.next(t))
	served.wantAnswer(1)
	for range waiting {
		o.release <- struct{}{}
	}
	for _, c := range waiting {
		c.wantWord("answer to in")
	}
}

// Work for a client that has gone is not begun; a server that closes waits for what has.
func TestLoginWorkOfTheGone(t *testing.T) {
	o := newObedient()
	f := start(t, secured(o))
	const clients = 40
	for range clients {
		f.dial(t).send(sized([]byte("work in")))
	}
	<-o.working
	if err := closeWhile(f.server, func() { close(o.release) }); err != nil {
		t.Fatal(err)
	}
	if n := len(o.working); n > clients/2 {
		t.Errorf("%d of %d worked for nobody", n+1, clients)
	}
}

func closeWhile(s *socketserver.Server, f func()) error {
	ended := make(chan error)
	go func() { ended <- s.Close() }()
	time.Sleep(quiet) // so that Close has begun: the work must not end before
	f()
	return <-ended
}

// N16: a failed authentication is answered and closed after the delay, not before, and not much later; meanwhile
// nothing is read. Kafka adds up to 300 ms of its poll.
func TestFailedLoginIsDelayed(t *testing.T) {
	const delay = 100 * time.Millisecond
	l := secured(newObedient())
	l.FailedAuthenticationDelay = delay
	f := start(t, l)
	best := time.Hour
	for range 5 {
		c := f.dial(t)
		begun := time.Now()
		c.send(append(sized([]byte("refuse")), sized([]byte("in"))...))
		c.wantWord("answer to refuse")
		took := time.Since(begun)
		if took < delay {
			t.Fatalf("answered after %s", took)
		}
		best = min(best, took)
		c.wantEnd(true)
	}
	if best > 2*delay {
		t.Errorf("answered after %s", best)
	}
	f.closedFor(t, network.ReasonAuthenticationFailed, 5)
	if n := f.metric(t, "kanal_authentications_total", "failed"); n != 5 {
		t.Errorf("%v counted", n)
	}
	if !f.log.has("INFO", "authentication_failed", "127.0.0.1", "told no secret") {
		t.Error("not logged")
	}
}

// SaslAuthenticatorFailureNoDelayTest
func TestFailedLoginWithoutDelay(t *testing.T) {
	f := start(t, secured(newObedient()))
	c := f.dial(t)
	c.say("refuse")
	c.wantEnd(false)
	c = f.dial(t)
	c.send(sized([]byte("refuse silently")))
	c.wantEnd(false)
	c = f.dial(t)
	c.send(sized([]byte("end"))) // N20
	c.wantEnd(false)
	f.closedFor(t, network.ReasonSessionExpired, 1)
	if n := f.metric(t, "kanal_authentications_total", "failed"); n != 2 {
		t.Errorf("%v counted", n)
	}
}

// Several failures are ended in the order of their due times, by one loop.
func TestFailedLoginsTogether(t *testing.T) {
	l := secured(newObedient())
	l.FailedAuthenticationDelay = 50 * time.Millisecond
	f := start(t, l)
	var all []client
	for range 20 {
		c := f.dial(t)
		c.send(sized([]byte("refuse")))
		all = append(all, c)
	}
	for _, c := range all {
		c.wantWord("answer to refuse")
		c.wantEnd(false)
	}
}

// testClientConnectionClose: a client that does not wait is let go at once, without the answer.
func TestFailedLoginAbandoned(t *testing.T) {
	l := secured(newObedient())
	l.FailedAuthenticationDelay = time.Hour
	f := start(t, l)
	c := f.dial(t)
	c.send(sized([]byte("refuse")))
	eventually(t, "the failure is counted", func() bool { return f.metric(t, "kanal_authentications_total", "failed") == 1 })
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(true)
	other := f.dial(t)
	other.send(sized([]byte("refuse")))
	other.reset()
	eventually(t, "both are gone", func() bool { return f.metric(t, "kanal_connections") == 0 })
}

// N10, I10: until the login a frame is limited, whatever its announced size is; its failure is an authentication's.
func TestFrameLimitBeforeLogin(t *testing.T) {
	for _, size := range []string{"\x00\x00\x00\xc9", "\x7f\xff\xff\xff", "\xff\xff\xff\xff"} {
		l := secured(newObedient())
		l.FailedAuthenticationDelay = 20 * time.Millisecond
		f := start(t, l)
		c, begun := f.dial(t), time.Now()
		c.say("more")
		c.send([]byte(size))
		c.wantEnd(false)
		if time.Since(begun) < l.FailedAuthenticationDelay {
			t.Errorf("%x: not delayed", size)
		}
		f.closedFor(t, network.ReasonInvalidSize, 1)
		if n := f.metric(t, "kanal_authentications_total", "failed"); n != 1 {
			t.Errorf("%x: %v counted", size, n)
		}
	}
	f := start(t, secured(newObedient()))
	c := f.dial(t)
	c.send(sized(append([]byte("more"), make([]byte, 196)...))) // not over the limit: taken as a request
	c.wantEnd(true)
	c = f.dial(t)
	c.say("in")
	c.send(request(1, make([]byte, 5000)...))
	f.answer(f.next(t))
	c.wantAnswer(1)
}

// N10, N13, N14, N18: a session that ends goes on through the authenticator, and its re-authentications count apart.
func TestReauthentication(t *testing.T) {
	f := start(t, secured(newObedient()))
	c := f.dial(t)
	c.say("in for a while")
	for i := range int32(3) {
		c.send(request(i))
		f.answer(f.next(t))
		c.wantAnswer(i)
		c.say("more") // limits it again
		c.say("in again")
	}
	c.send(request(9, make([]byte, 5000)...))
	f.answer(f.next(t))
	c.wantAnswer(9)
	if f.metric(t, "kanal_authentications_total", "successful") != 1 || f.metric(t, "kanal_reauthentications_total", "successful") != 3 {
		t.Error("not counted apart")
	}
	if f.metric(t, "kanal_authentications_without_reauthentication_total") != 0 {
		t.Error("counted as one that cannot re-authenticate")
	}
	c.say("refuse again")
	c.wantEnd(false)
	if f.metric(t, "kanal_reauthentications_total", "failed") != 1 || f.metric(t, "kanal_authentications_total", "failed") != 0 {
		t.Error("failure not counted apart")
	}
	c = f.dial(t)
	c.say("in for a while")
	c.say("more")
	c.send([]byte("\x00\x00\x00\xc9")) // N10: as before the first
	c.wantEnd(false)
	f.closedFor(t, network.ReasonInvalidSize, 1)
}

// The first-request deadline goes on until the client has logged in, however much it sends; then it is over.
func TestFirstRequestDeadlineCountsUntilLogin(t *testing.T) {
	l := secured(newObedient())
	l.FirstRequestTimeout = 200 * time.Millisecond
	f := start(t, l)
	in := f.dial(t)
	in.say("in")
	c := f.dial(t)
	c.SetReadDeadline(time.Now().Add(patience))
	begun := time.Now()
	for {
		if _, err := c.Write(sized([]byte("more"))); err != nil {
			break
		}
		if _, err := c.Read(make([]byte, 100)); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond) // a client that keeps talking
	}
	if took := time.Since(begun); took < 150*time.Millisecond || took > patience/2 {
		t.Errorf("closed after %s", took)
	}
	f.closedFor(t, network.ReasonFirstRequestDeadline, 1)
	in.send(request(1))
	f.answer(f.next(t))
	in.wantAnswer(1)
}

// A server that drains lets a step be answered, and does not wait for the next.
func TestDrainDuringLogin(t *testing.T) {
	o := newObedient()
	f := start(t, secured(o))
	c := f.dial(t)
	c.send(sized([]byte("work more")))
	<-o.working
	f.server.StopAccepting()
	o.release <- struct{}{}
	drain(t, f.server)
	c.wantWord("answer to more")
	c.wantEnd(false)
}

// K5 and the rest of what a listener with a login must not be.
func TestLoginConfiguration(t *testing.T) {
	bad := map[string]func(*socketserver.ListenerConfig){
		"authentication": func(l *socketserver.ListenerConfig) { l.Authentication = nil },
		"PLAINTEXT":      func(l *socketserver.ListenerConfig) { l.SecurityProtocol = "PLAINTEXT" },
		"kind frames":    func(l *socketserver.ListenerConfig) { l.Kind, l.Handler = socketserver.KindFrames, "echo" },
		"idle": func(l *socketserver.ListenerConfig) {
			l.MaxIdle, l.FailedAuthenticationDelay = time.Second, time.Second
		},
		"delayed by":   func(l *socketserver.ListenerConfig) { l.FailedAuthenticationDelay = -1 },
		"before login": func(l *socketserver.ListenerConfig) { l.MaxReceiveBeforeLogin = -1 },
	}
	for says, change := range bad {
		l := secured(newObedient())
		l.Name = "TEST"
		change(&l)
		_, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{l}}, newHandlers(), nil, nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// A refused request of a client that is in costs it the connection as on any listener.
func TestGateAfterLogin(t *testing.T) {
	f := start(t, secured(newObedient()))
	f.refuseKey(protocol.Metadata, network.ReasonUnsupportedAPI)
	c := f.dial(t)
	c.say("in for a while")
	c.send(request(1))
	c.wantEnd(true)
	f.closedFor(t, network.ReasonUnsupportedAPI, 1)
}
