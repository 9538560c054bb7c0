package socketserver_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"kanal/libs/socketserver"
)

// W3, W7, W8, W15, C5, C11, D17, KAFKA-16768: while processors come and go in any number, and other listeners are added
// and removed, no client sees an error, a wrong answer or a missing one; when a listener goes only its clients end, and
// not before it was asked for. Afterwards descriptors, processors, counts and gauges are as at the start.
func TestResizingIsNotNoticed(t *testing.T) {
	for _, assignment := range []socketserver.Assignment{socketserver.RoundRobin, socketserver.LeastLoadedOfTwo} {
		t.Run(fmt.Sprint("assignment ", assignment), func(t *testing.T) { wobble(t, assignment) })
	}
}

func wobble(t *testing.T, assignment socketserver.Assignment) {
	s := newShuffler(uint64(assignment))
	f := prepareConfig(t, s, socketserver.Config{Assignment: assignment, Listeners: []socketserver.ListenerConfig{{Processors: 2}}})
	s.server = f.server
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	descriptors := openDescriptors(t)
	stop, done := make(chan struct{}), make(chan struct{})
	var answering, clients, changing sync.WaitGroup
	for range 3 {
		answering.Go(func() { s.answer(stop) })
	}
	for i := range uint64(150) {
		clients.Go(func() { pipeline(t, f.server.Addr("TEST", 0), rand.New(rand.NewPCG(uint64(assignment), i+1))) })
	}
	changing.Go(func() { resizeUntil(t, f, done) })
	changing.Go(func() { listenersUntil(t, f, done) })
	clients.Wait()
	close(done)
	changing.Wait()
	f.resize(t, 2)
	eventually(t, "all is as at the start", func() bool {
		return len(f.server.Processors()) == 2 && s.living() == 2 && f.server.Counted() == 0 &&
			f.metric(t, "kanal_connections") == 0 && openDescriptors(t) <= descriptors
	})
	for _, p := range f.server.Processors() {
		if p.Open() != 0 {
			t.Errorf("processor %d has %d connections", p.ID(), p.Open())
		}
	}
	close(stop)
	answering.Wait()
	f.server.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fault := range s.faults {
		t.Error(fault)
	}
	if f.log.has("level=ERROR") {
		t.Error("an error was logged")
	}
}

func resizeUntil(t *testing.T, f *fixture, done chan struct{}) {
	chance := rand.New(rand.NewPCG(1, 0))
	for {
		select {
		case <-done:
			return
		default:
		}
		if err := f.server.Resize("TEST", 1+chance.IntN(6)); err != nil {
			t.Error(err)
		}
		if chance.IntN(2) == 0 {
			eventually(t, "few retire at a time", func() bool { return len(f.server.Processors()) < 20 })
		}
	}
}

func listenersUntil(t *testing.T, f *fixture, done chan struct{}) {
	for round := 1; ; round++ {
		select {
		case <-done:
			return
		default:
		}
		l := socketserver.ListenerConfig{Name: "MORE", Host: "127.0.0.1", Processors: 1 + round%3}
		if err := f.server.AddListener(l); err != nil {
			t.Error(err)
			return
		}
		addr, leaving := f.server.Addr("MORE", 0), new(atomic.Bool)
		var visitors, served sync.WaitGroup
		for range 5 {
			served.Add(1)
			visitors.Go(func() { askUntilRemoved(t, addr, leaving, served.Done) })
		}
		served.Wait()
		leaving.Store(true)
		if err := f.server.RemoveListener("MORE"); err != nil {
			t.Error(err)
		}
		visitors.Wait()
	}
}

// askUntilRemoved asks until its listener goes.
func askUntilRemoved(t *testing.T, addr net.Addr, leaving *atomic.Bool, served func()) {
	once := sync.OnceFunc(served)
	defer once()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	body := binary.BigEndian.AppendUint32([]byte{'a'}, 0)
	var answer [8]byte
	for i := int32(0); ; i++ {
		_, err := conn.Write(request(i, body...))
		if err == nil {
			_, err = io.ReadFull(conn, answer[:])
		}
		if err != nil && leaving.Load() {
			return
		}
		if got := int32(binary.BigEndian.Uint32(answer[4:])); err != nil || got != i {
			t.Errorf("answer %d, want %d: %v", got, i, err)
			return
		}
		once()
	}
}
