package faults

import (
	"encoding/json"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"kanal/e2e/process"
	rc "kanal/libs/requestchannel"
)

var subjects = rc.Subjects{Prefix: "kanal", Cluster: "kanal"}

// hostile is an echo handler that keeps to the envelopes and to little else. It
// takes small frames only.
type hostile struct {
	t      *testing.T
	nc     *nats.Conn
	id     string
	random *rand.Rand // of the subscription's goroutine
	answer func(h *hostile, to string, right rc.Response)
	struck atomic.Int64 // requests that it got
	stop   chan struct{}
	ended  sync.WaitGroup
}

func startHostile(s *scene, answer func(*hostile, string, rc.Response)) *hostile {
	s.t.Helper()
	nc, err := nats.Connect(s.nats.URL, nats.MaxReconnects(-1))
	if err != nil {
		s.t.Fatal(err)
	}
	h := &hostile{
		t: s.t, nc: nc, id: nuid.Next(), random: rand.New(rand.NewPCG(s.random.Uint64(), 0)), answer: answer, stop: make(chan struct{}),
	}
	if _, err := nc.Subscribe(subjects.Request(h.id), h.receive); err != nil {
		s.t.Fatal(err)
	}
	h.ended.Go(h.announce)
	return h
}

func (h *hostile) announce() {
	tick := time.NewTicker(rc.AnnouncementInterval / 4)
	defer tick.Stop()
	for number := uint64(1); ; number++ {
		b, err := json.Marshal(rc.Handler{
			Version: rc.AnnouncementVersion, ID: h.id, Number: number, Service: "echo", Release: "0.0.1", State: rc.StateReady, Window: 128, FrontEnds: 1,
		})
		if err == nil {
			err = h.nc.Publish(subjects.Handlers(), b)
		}
		if err != nil {
			h.t.Error(err)
			return
		}
		select {
		case <-h.stop:
			return
		case <-tick.C:
		}
	}
}

func (h *hostile) receive(m *nats.Msg) {
	var q rc.Request
	if rc.ParseRequest(m.Data, &q) != nil || q.Part > 0 {
		return // a probe, a cancel, or more of what is refused
	}
	right := rc.Response{ID: q.ID, Token: q.Token, Attempt: q.Attempt, Kind: rc.Send, Parts: 1, Total: q.Total, Frame: q.Frame}
	if q.Parts > 1 || len(q.Frame) > rc.LargeFrame {
		h.send(m.Reply, rc.Response{ID: q.ID, Token: q.Token, Attempt: q.Attempt, Kind: rc.NotTaken, Parts: 1})
		return
	}
	h.struck.Add(1)
	h.answer(h, m.Reply, right)
}

func (h *hostile) send(to string, r rc.Response) {
	h.publish(to, append(rc.AppendResponse(nil, &r), r.Frame...))
}

// publish may fail once the handler has left.
func (h *hostile) publish(to string, b []byte) { _ = h.nc.Publish(to, b) }

// leave vanishes, as a process that was killed.
func (h *hostile) leave() {
	close(h.stop)
	h.ended.Wait()
	h.nc.Close()
}

// some is how many requests a hostile handler gets. Those that it never answers
// wait until it is gone, which must be before their deadline.
const some = 24

// strikes has a hostile handler in the cluster until it got some requests.
func (s *scene) strikes(answer func(*hostile, string, rc.Response)) {
	s.t.Helper()
	h := startHostile(s, answer)
	process.Poll(s.t, time.Minute, "the handler has got some requests", func() error {
		if h.struck.Load() < some {
			return errFew
		}
		return nil
	})
	h.leave()
}

// slow is a handler that takes a hundred times longer than the others.
func (s *scene) slow() {
	s.strikes(func(h *hostile, to string, right rc.Response) {
		right.Frame = append([]byte(nil), right.Frame...)
		time.AfterFunc(time.Duration(100+h.random.IntN(200))*time.Millisecond, func() { h.send(to, right) })
	})
}

// twice is a handler that sends each answer again, at once or later.
func (s *scene) twice() {
	late := s.frontEnd.Metric(s.t, "kanal_request_channel_late_answers_total")
	s.strikes(func(h *hostile, to string, right rc.Response) {
		right.Frame = append([]byte(nil), right.Frame...)
		h.send(to, right)
		time.AfterFunc(time.Duration(h.random.IntN(30))*time.Millisecond, func() { h.send(to, right) })
		h.send(to, right)
	})
	process.Poll(s.t, time.Minute, "the second answers are counted", func() error {
		if n := s.frontEnd.Metric(s.t, "kanal_request_channel_late_answers_total"); n < late+some {
			return errFew
		}
		return nil
	})
}

// rubbish is a handler that sends what is no answer, or the answer to another
// request, then perhaps the right one, and that vanishes in the end.
func (s *scene) rubbish() {
	invalid := s.frontEnd.Metric(s.t, "kanal_request_channel_invalid_answers_total")
	s.strikes(func(h *hostile, to string, right rc.Response) {
		for range 1 + h.random.IntN(3) {
			h.publish(to, rubbish(h.random, right))
		}
		if h.random.IntN(8) > 0 {
			h.send(to, right)
		}
	})
	process.Poll(s.t, time.Minute, "the rubbish is counted", func() error {
		if n := s.frontEnd.Metric(s.t, "kanal_request_channel_invalid_answers_total"); n < invalid+some/8 {
			return errFew
		}
		return nil
	})
}

// rubbish makes something of a right answer that must not reach a client.
func rubbish(r *rand.Rand, right rc.Response) []byte {
	wrong := right
	wrong.Frame = []byte("rubbish")
	wrong.Total = uint32(len(wrong.Frame))
	switch r.IntN(10) {
	case 0: // no envelope at all
		b := make([]byte, r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 1: // cut short
		b := rc.AppendResponse(nil, &right)
		return b[:r.IntN(len(b))]
	case 2: // a kind that is none
		b := rc.AppendResponse(nil, &right)
		b[2] = byte(7 + r.IntN(249))
		return b
	case 3: // a header longer than the message
		b := rc.AppendResponse(nil, &right)
		b[4], b[5] = 0xff, 0xff
		return b
	case 4: // to another connection
		wrong.Token++
	case 5: // to a request that is none
		wrong.ID ^= 1 << 40
	case 6: // a part that has none before it
		wrong.Part, wrong.Parts = 1, 3
	case 7: // more parts than there are bytes
		wrong.Part, wrong.Parts, wrong.Total = 0, 1<<16-1, 1
	case 8: // to somebody who is not there
		wrong.Kind, wrong.Target = rc.Redirect, "nobody"
	default: // an earlier attempt does not want it
		wrong.Kind, wrong.Attempt = rc.NotTaken, right.Attempt-1
	}
	return append(rc.AppendResponse(nil, &wrong), wrong.Frame...)
}
