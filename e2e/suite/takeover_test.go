package suite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
	"kanal/libs/protocol"
)

// visitors connect, ask for ApiVersions, and go, over and over.
type visitors struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	served atomic.Int64

	mu   sync.Mutex
	errs []error
}

func startVisitors(t *testing.T, addr string, n int, pause time.Duration) *visitors {
	ctx, cancel := context.WithCancel(context.Background())
	v := &visitors{cancel: cancel}
	for range n {
		v.all.Go(func() {
			for ctx.Err() == nil {
				if err := visit(addr); err != nil {
					v.mu.Lock()
					v.errs = append(v.errs, fmt.Errorf("%s: %w", time.Now().Format("15:04:05.000"), err))
					v.mu.Unlock()
				} else {
					v.served.Add(1)
				}
				time.Sleep(pause)
			}
		})
	}
	t.Cleanup(func() { cancel(); v.all.Wait() })
	return v
}

func visit(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(frame(header(protocol.ApiVersions, 0))); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return fmt.Errorf("connected and not answered: %w", err)
	}
	return nil
}

// advance waits until n more were served.
func (v *visitors) advance(t *testing.T, n int64) {
	t.Helper()
	before := v.served.Load()
	process.Poll(t, time.Minute, fmt.Sprintf("%d more visitors are served", n), func() error {
		if now := v.served.Load(); now < before+n {
			return fmt.Errorf("%d were", now-before)
		}
		return nil
	})
}

func (v *visitors) requireAllServed(t *testing.T) {
	t.Helper()
	v.cancel()
	v.all.Wait()
	for i, err := range v.errs {
		if t.Error(err); i == 10 {
			t.Fatalf("and %d more", len(v.errs)-i)
		}
	}
	t.Logf("%d visitors were served", v.served.Load())
}

// longPoll is a fetch that waits for records, on a connection of its own.
func longPoll(t *testing.T, on target, topic string) wire {
	t.Helper()
	id := described(t, newClient(t, on), topic)[topic].TopicID
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 4, 25_000, 1<<20, 1<<20
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	w := dial(t, on.bootstrap)
	w.send(frame(req.AppendTo(header(protocol.Fetch, req.Version))))
	return w
}

// requireAnswerAndEnd wants the answer to a request, and then an orderly end of
// the connection.
func (w wire) requireAnswerAndEnd() {
	w.t.Helper()
	if b := w.read(); len(b) < 4 || binary.BigEndian.Uint32(b) != 7 {
		w.t.Fatalf("answered with %x", b)
	}
	if n, err := w.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		w.t.Fatalf("after the answer came %d bytes and %v, not an end of stream", n, err)
	}
}

// TestTakeOver has front ends take over from each other while clients connect,
// a few hundred per second: none is refused or reset. Requests under way are
// answered before their connections end.
func TestTakeOver(t *testing.T) {
	c := process.StartCluster(t)
	on := target{c.Bootstrap, process.Brokers, c.FrontEnd}
	topic, quiet := newTopic(t, on, 3), newTopic(t, on, 1)
	l := loadWith(t, on, topic, "load", time.Millisecond)
	v := startVisitors(t, c.Bootstrap, 4, 8*time.Millisecond)
	for range process.Rounds(3, 30) {
		polls := []wire{longPoll(t, on, quiet), longPoll(t, on, quiet), longPoll(t, on, quiet)}
		v.advance(t, 50)
		l.advance(t, 20, 3, "before")
		old := c.FrontEnd
		c.TakeOver(t)
		if !strings.Contains(old.Log(), "another front end has taken over") {
			t.Fatal("the old front end ended for another reason")
		}
		for _, w := range polls {
			w.requireAnswerAndEnd()
		}
		v.advance(t, 50)
		l.advance(t, 20, 3, "after")
	}
	v.requireAllServed(t)
	l.finish(t)
	l.requireStored(t, on, topic, 3)
}

// TestTakeOverFails has a front end come that cannot open its ports, and one that
// is killed at a random moment of its start: the old one goes on. One that has
// other listeners opens what is missing.
func TestTakeOverFails(t *testing.T) {
	c := process.StartCluster(t)
	on := target{c.Bootstrap, process.Brokers, c.FrontEnd}
	v := startVisitors(t, c.Bootstrap, 2, 5*time.Millisecond)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken := c.StartFrontEnd(t, process.Env{"KANAL_LISTENERS": "PLAINTEXT://" + c.Bootstrap + ",OTHER://" + taken.Addr().String()})
	if code := broken.Exit(t); code != 1 || !strings.Contains(broken.Log(), "is in use") {
		t.Fatalf("it ended with %d", code)
	}
	v.advance(t, 20)
	requireAlone(t, c.FrontEnd)

	stopped := c.StartFrontEnd(t, nil)
	process.Poll(t, process.StartLimit, "the next one has begun", func() error {
		if !strings.Contains(stopped.Log(), "serving status") {
			return errors.New("it has not")
		}
		return nil
	})
	stopped.Kill(t)
	if !strings.Contains(c.FrontEnd.Log(), "has taken over") {
		v.advance(t, 20)
		requireAlone(t, c.FrontEnd)
	}

	frames := process.Address(t)
	_, brokers, _ := strings.Cut(on.bootstrap, ":")
	last := c.StartFrontEnd(t, process.Env{"KANAL_LISTENERS": "PLAINTEXT://127.0.0.1:" + brokers + ",FRAMES://" + frames})
	last.WaitReady(t)
	if code := c.FrontEnd.Exit(t); code != 0 {
		t.Fatalf("the old one ended with %d", code)
	}
	v.advance(t, 20)
	w := dial(t, frames)
	w.send(frame([]byte("hello")))
	if got := w.read(); string(got) != "hello" {
		t.Fatalf("%q", got)
	}
	if c, err := net.Dial("tcp", c.Frames); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Fatal("a listener that the new front end does not have is open:", err)
	}
	v.requireAllServed(t)
	last.Stop(t)
}

// requireAlone wants a process to live and to be ready.
func requireAlone(t *testing.T, p *process.Process) {
	t.Helper()
	select {
	case <-p.Ended():
		t.Fatalf("%s has ended", p)
	default:
	}
	p.WaitReady(t)
}

// TestSocketActivation has the listening socket opened by somebody else, as
// systemd does it: clients that connect while nobody serves wait, and are served
// by the next standalone.
func TestSocketActivation(t *testing.T) {
	s := process.NewStandalone(t, nil)
	l, err := net.Listen("tcp", s.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // f has the socket
	t.Cleanup(func() { _ = f.Close() })
	s.Activate(f)
	s.Start(t)
	v := startVisitors(t, s.Bootstrap, 1, 5*time.Millisecond)
	v.advance(t, 20)
	for range 2 {
		s.Stop(t)
		early := make(chan error, 1)
		go func() { early <- visit(s.Bootstrap) }()
		s.Start(t)
		if err := <-early; err != nil {
			t.Fatal(err)
		}
		v.advance(t, 20)
	}
	v.cancel()
	v.all.Wait()
	for _, err := range v.errs { // one that was served last by a standalone that ended may be cut off
		if errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	}
	s.Stop(t)
}
