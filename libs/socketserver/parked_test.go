package socketserver_test

import (
	"testing"

	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

// A full request channel parks the receives on their channels; others go on, and Resume offers them in their order
// (better than M1, where the loop stops).
func TestFullQueueParksAndResumes(t *testing.T) {
	f := start(t)
	f.setRoom(1)
	first := f.dial(t)
	first.send(request(1))
	waiting := f.next(t)
	const parked = 10
	var clients []client
	for i := int32(0); i < parked; i++ {
		c := f.dial(t)
		c.send(append(request(100+i), request(200+i)...))
		clients = append(clients, c)
		f.wantParked(t, int(i)+1)
	}
	f.answer(waiting) // answers are written while the queue is full
	first.wantAnswer(1)
	f.none(t)
	if n := f.timesRefused(); n != 1 {
		t.Errorf("refused %d times: who comes later does not overtake who is parked", n)
	}
	before := socketserver.Now()
	for i := int32(0); i < parked; i++ {
		f.setRoom(1)
		f.server.Processors()[0].Resume()
		r := f.next(t)
		if r.correlation != 100+i || r.received >= before {
			t.Fatalf("request %d of %d came, want %d", r.correlation, r.received, 100+i)
		}
		f.answer(r)
		clients[i].wantAnswer(100 + i)
	}
	f.setRoom(1 << 20)
	f.server.Processors()[0].Resume()
	for range parked {
		f.answer(f.next(t))
	}
	for i, c := range clients {
		c.wantAnswer(200 + int32(i))
	}
	f.wantParked(t, 0)
}

func (f *fixture) wantParked(t *testing.T, n int) {
	t.Helper()
	eventually(t, "receives are parked", func() bool { return f.metric(t, "kanal_processor_parked_receives") == float64(n) })
}

// One refusal speaks for all later receives of its api: they must not overtake it, and offering them all again would
// cost a look at each for every free place.
func TestResumeAsksOncePerRoute(t *testing.T) {
	f := start(t)
	f.setRoom(0)
	for i := range int32(20) {
		c := f.dial(t)
		c.send(requestFor([]protocol.APIKey{protocol.Metadata, protocol.Heartbeat}[i%2], i))
		f.wantParked(t, int(i)+1)
	}
	f.server.Processors()[0].Resume()
	eventually(t, "it is refused again", func() bool { return f.timesRefused() >= 4 })
	f.none(t)
	if n := f.timesRefused(); n != 4 {
		t.Errorf("refused %d times, want 4: twice for each of two apis", n)
	}
}

// A parked connection that goes away is forgotten, one that is half closed is served.
func TestParkedConnectionsThatClose(t *testing.T) {
	f := start(t)
	f.setRoom(0)
	reset, half := f.dial(t), f.dial(t)
	reset.send(request(1))
	half.send(request(2))
	f.wantParked(t, 2)
	reset.reset()
	half.CloseWrite()
	f.disconnected(t)
	f.disconnected(t)
	f.setRoom(10)
	f.server.Processors()[0].Resume()
	r := f.next(t)
	if r.correlation != 2 {
		t.Fatalf("request %d came", r.correlation)
	}
	f.answer(r)
	half.wantAnswer(2)
	half.wantEnd(false)
	f.none(t)
}

// A parked request that was found bad meanwhile closes its connection.
func TestResumeMayClose(t *testing.T) {
	f := start(t)
	f.setRoom(0)
	c := f.dial(t)
	c.send(requests(1, 2))
	eventually(t, "it is refused", func() bool { return f.timesRefused() == 1 })
	f.refuseKey(protocol.Metadata, 9)
	f.server.Processors()[0].Resume()
	c.wantEnd(false)
	f.closedFor(t, 9, 1)
}
