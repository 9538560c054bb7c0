package examples

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"kanal/e2e/process"
	"kanal/libs/requestchannel"
)

// TestEnvelopeOfPython has the example test itself against the vectors of
// libs/requestchannel/testdata.
func TestEnvelopeOfPython(t *testing.T) {
	p := process.StartCommand(t, folder(t), process.Env{"PYTHONDONTWRITEBYTECODE": "1"}, process.Need(t, "python3"), "-m", "unittest")
	if code := p.Exit(t); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
}

// TestEchoInPython runs instances of the Python echo behind a real front end,
// under load: killed, stopped for longer than announcements live, drained. The
// load sees every frame come back once, on connections that stay.
func TestEchoInPython(t *testing.T) {
	nats := process.StartNATS(t)
	env := process.Env{"KANAL_NATS_URL": nats.ClientURL(), "PYTHONDONTWRITEBYTECODE": "1"}
	addr := process.Address(t)
	front := process.Start(t, "frontend", env.With(process.Env{
		"KANAL_LISTENERS": "FRAMES://" + addr, "KANAL_LISTENER_FRAMES_KIND": "frames", "KANAL_LISTENER_FRAMES_HANDLER": "echo",
	}))
	front.WaitReady(t)
	tap := newTap(t, nats.ClientURL())
	begin := func() (*process.Process, string) { return startEcho(t, env) }

	first, firstID := begin()
	t.Run("frames of all sizes", func(t *testing.T) { allSizes(t, addr) })
	second, secondID := begin()
	l := startLoad(t, addr, 20)
	l.advance(t, "with two instances")
	// asleep stops an instance, and returns what it has in hand then.
	asleep := func(t *testing.T, p *process.Process, id string) (owed []attempt, unfollow func()) {
		unfollow = tap.follow(t, id)
		p.Signal(t, syscall.SIGSTOP)
		process.Poll(t, time.Minute, "the stopped instance owes answers", func() error {
			if owed = tap.owed(); len(owed) == 0 {
				return errors.New("nothing")
			}
			return nil
		})
		return owed, unfollow
	}

	t.Run("killed", func(t *testing.T) {
		_, unfollow := asleep(t, first, firstID)
		unfollow()
		first.Kill(t)
		l.advance(t, "after a kill")
		process.Poll(t, time.Minute, "NATS tells of the kill", func() error {
			if front.Metric(t, "kanal_request_channel_handlers_lost_total", "reason", "no_subscriber") != 1 {
				return errors.New("not yet")
			}
			return nil
		})
		if front.Metric(t, "kanal_request_channel_redispatched_total") == 0 {
			t.Error("nothing was dispatched again")
		}
	})
	first, _ = begin()
	t.Run("stopped", func(t *testing.T) {
		stale, unfollow := asleep(t, second, secondID)
		defer unfollow()
		process.Poll(t, time.Minute, "the front end gives it up", func() error {
			if front.Metric(t, "kanal_request_channel_handlers_lost_total", "reason", "silent") != 1 {
				return errors.New("not yet")
			}
			return nil
		})
		l.advance(t, "without the stopped instance")
		second.Signal(t, syscall.SIGCONT)
		process.Poll(t, time.Minute, "it answers what it slept over", func() error {
			kinds, missing := tap.answered(stale)
			if missing > 0 {
				return fmt.Errorf("%d of %d have no answer", missing, len(stale))
			}
			if len(kinds) != 1 || kinds[requestchannel.NotTaken] != len(stale) {
				return process.Hopeless(fmt.Errorf("it answered %v", kinds))
			}
			return nil
		})
		l.advance(t, "after it woke up")
	})
	t.Run("drained", func(t *testing.T) {
		defer tap.follow(t, secondID)()
		process.Poll(t, time.Minute, "it takes requests again", func() error {
			if tap.count() < 100 {
				return errors.New("not yet")
			}
			return nil
		})
		before := front.Metric(t, "kanal_request_channel_redispatched_total")
		second.Stop(t)
		l.advance(t, "after an orderly end")
		if after := front.Metric(t, "kanal_request_channel_redispatched_total"); after != before {
			t.Errorf("%v requests were dispatched again after an orderly end", after-before)
		}
		if owed := tap.owed(); len(owed) > 0 {
			t.Errorf("it left with %d requests unanswered", len(owed))
		}
	})
	t.Run("disconnected", func(t *testing.T) {
		disconnect(t, nats)
		l.advance(t, "after a lost connection to NATS")
		if !strings.Contains(first.Log(), "waiting for NATS") {
			t.Error("it did not notice")
		}
	})
	l.finish(t)
	first.Stop(t)
	front.Stop(t)
}

// disconnect cuts the echo's connection to NATS.
func disconnect(t *testing.T, nats *server.Server) {
	t.Helper()
	connections, err := nats.Connz(&server.ConnzOptions{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range connections.Conns {
		if c.Name == "echo-python" {
			if err := nats.DisconnectClientByID(c.Cid); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no connection of the echo among %d", connections.NumConns)
}

func folder(t *testing.T) string {
	t.Helper()
	return filepath.Join(process.Root(t), "examples", "echo-python")
}

// startEcho starts an instance, and returns it with its id when it is ready.
func startEcho(t *testing.T, env process.Env) (*process.Process, string) {
	t.Helper()
	p := process.StartCommand(t, folder(t), env, process.Need(t, "python3"), "echo.py")
	var id string
	process.Poll(t, process.StartLimit, "an echo is ready", func() error {
		if _, after, ok := strings.Cut(p.Log(), "ready "); ok && strings.Contains(after, "\n") {
			id, _, _ = strings.Cut(after, "\n")
			return nil
		}
		return errors.New(p.Log())
	})
	return p, id
}

// allSizes sends frames around the limits of parts and connections.
func allSizes(t *testing.T, addr string) {
	c := dial(t, addr)
	src := rand.NewChaCha8([32]byte{7})
	for _, n := range []int{0, 1, 100, requestchannel.LargeFrame, requestchannel.LargeFrame + 1, requestchannel.PartSize, requestchannel.PartSize + 1, 5 << 20, 3} {
		b := make([]byte, n)
		_, _ = src.Read(b) // never fails
		if err := exchange(c, b); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}
