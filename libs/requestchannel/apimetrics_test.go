package requestchannel

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"kanal/libs/protocol"
)

// pendingAt is a request received at 1,000,000 ns that lasts through all stages: 10 ms queue, 3 ms transit, 1+4 ms
// handling, 20 ms remote, 2 ms until it is taken up, 5 ms sending.
func pendingAt(m *ChannelMetrics) (p *Pending, now, send int64) {
	ms := int64(time.Millisecond)
	p = &Pending{Request: Request{APIKey: protocol.Metadata, APIVersion: 9}, received: ms, size: 100, body: 30}
	p.metrics = m.of("", p.APIKey)
	p.dispatched = p.received + 10*ms
	p.arrived = p.dispatched + 28*ms
	p.answer(&Response{Queue: time.Millisecond, Local: 4 * time.Millisecond, Remote: 20 * time.Millisecond, Throttle: 70 * time.Millisecond})
	p.responseSize = 400
	return p, p.arrived + 7*ms, 5 * ms
}

// R1, R2: each stage is what lies between its two times, and they make up the total; the throttle time is no part of it.
func TestStagesOfARequest(t *testing.T) {
	p, now, send := pendingAt(newChannelMetrics())
	ms := time.Millisecond
	want := Times{Queue: 10 * ms, Transit: 3 * ms, Handle: 5 * ms, Remote: 20 * ms, Throttle: 70 * ms, Response: 2 * ms, Send: 5 * ms, Total: 45 * ms}
	if got := p.times(now, send); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

// R3: whatever the clocks of two machines and redeliveries make of it, no stage is negative; where nothing overlaps,
// the stages add up.
func TestStagesAreNeverNegative(t *testing.T) {
	for range 10000 {
		p := &Pending{received: rand.Int64N(100), dispatched: rand.Int64N(100), arrived: rand.Int64N(100)}
		if rand.IntN(4) > 0 {
			p.answer(&Response{Queue: time.Duration(rand.Int64N(50)), Local: time.Duration(rand.Int64N(50)), Remote: time.Duration(rand.Int64N(50))})
		}
		got := p.times(rand.Int64N(100), rand.Int64N(100))
		for _, d := range []time.Duration{got.Queue, got.Transit, got.Handle, got.Remote, got.Throttle, got.Response, got.Send, got.Total} {
			if d < 0 {
				t.Fatalf("%+v of %+v", got, p)
			}
		}
	}
	for range 1000 {
		steps := [6]int64{}
		for i := range steps {
			steps[i] = rand.Int64N(1000)
		}
		p := &Pending{received: 1 + rand.Int64N(1000)}
		p.dispatched = p.received + steps[0]
		p.arrived = p.dispatched + steps[1] + steps[2] + steps[3]
		p.answer(&Response{Local: time.Duration(steps[2]), Remote: time.Duration(steps[3])})
		got := p.times(p.arrived+steps[4]+steps[5], steps[5])
		if sum := got.Queue + got.Transit + got.Handle + got.Remote + got.Response + got.Send; sum != got.Total {
			t.Fatalf("stages of %+v make %v", got, sum)
		}
	}
}

// R4, R5, R7: every way to end counts a request exactly once, by api and version, with its total time; the stages that
// it never reached are left out.
func TestEachEndCountsOnce(t *testing.T) {
	tests := []struct {
		name     string
		result   Result
		reason   CloseReason
		answered bool
		outcome  string
		stages   string
	}{
		{"sent", Sent, 0, true, "sent", "queue transit handle remote throttle response send total"},
		{"no answer due", NotDue, 0, true, "no_op", "queue transit handle remote throttle response total"},
		{"closed by its handler", Closed, ClosedByHandler, true, "closed", "queue transit handle remote throttle response total"},
		{"no answer in time", Closed, ClosedByDeadline, false, "timed_out", "queue total"},
		{"frame not held", Closed, ClosedFrameLetGo, false, "frame_lost", "queue total"},
		{"client left before the answer", ConnectionLost, 0, false, "connection_lost", "queue total"},
		{"client left during the answer", ConnectionLost, 0, true, "connection_lost", "queue transit handle remote throttle response total"},
		{"front end stopped", Shutdown, 0, true, "shutdown", "queue transit handle remote throttle response total"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			m := NewChannelMetrics(reg)
			p, now, send := pendingAt(m)
			p.reason, p.answered = test.reason, test.answered
			p.Done(test.result, now, send)
			if n := sum(t, reg, "kanal_requests_total", "Metadata", "9"); n != 1 {
				t.Errorf("counted %v times", n)
			}
			if all, one := sum(t, reg, "kanal_request_outcomes_total"), sum(t, reg, "kanal_request_outcomes_total", test.outcome); all != 1 || one != 1 {
				t.Errorf("%v outcomes, %v as %s", all, one, test.outcome)
			}
			got := ""
			for _, stage := range []string{"queue", "transit", "handle", "remote", "throttle", "response", "send", "total"} {
				switch sum(t, reg, "kanal_request_stage_seconds", stage) {
				case 1:
					got += " " + stage
				case 0:
				default:
					t.Errorf("stage %s more than once", stage)
				}
			}
			if got[1:] != test.stages {
				t.Errorf("stages %s, want %s", got[1:], test.stages)
			}
		})
	}
}

// R5: sizes are the body's of the request, the frame's of the answer.
func TestSizes(t *testing.T) {
	reg := prometheus.NewRegistry()
	p, now, send := pendingAt(NewChannelMetrics(reg))
	p.Done(Sent, now, send)
	for name, want := range map[string]float64{"kanal_request_size_bytes": 70, "kanal_response_size_bytes": 400} {
		if got := find(t, reg, name)[0].GetHistogram().GetSampleSum(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// R8: nothing is left at the end of the front end, so that another one can begin in the same process.
func TestUnregister(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		m := NewChannelMetrics(reg)
		c := &Channel{cfg: ChannelConfig{Budget: unbounded{}, Metrics: m, Now: func() int64 { return 0 }}}
		c.dispatcher.init(c)
		c.Watch(reg)
		p, now, send := pendingAt(m)
		p.Done(Sent, now, send)
		m.Unregister()
		if families, err := reg.Gather(); err != nil || len(families) > 0 {
			t.Fatal(families, err)
		}
	}
}

// R6: percentiles are made from buckets of any time span, to within a factor of 2.5 from 20 us to 18 s.
func TestStageBuckets(t *testing.T) {
	reg := prometheus.NewRegistry()
	p, now, send := pendingAt(NewChannelMetrics(reg))
	p.Done(Sent, now, send)
	buckets := find(t, reg, "kanal_request_stage_seconds", "total")[0].GetHistogram().GetBucket()
	for i, b := range buckets[1:] {
		if ratio := b.GetUpperBound() / buckets[i].GetUpperBound(); ratio > 2.5001 {
			t.Errorf("bucket %d is %v times the one before", i+1, ratio)
		}
	}
	if first, last := buckets[0].GetUpperBound(), buckets[len(buckets)-1].GetUpperBound(); first > 20e-6 || last < 18 {
		t.Errorf("from %v to %v s", first, last)
	}
}

// sum adds up a metric's series that have all these label values; of a histogram it is the count.
func sum(t *testing.T, reg *prometheus.Registry, name string, values ...string) (n float64) {
	t.Helper()
	for _, m := range find(t, reg, name, values...) {
		n += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return n
}

func find(t *testing.T, reg *prometheus.Registry, name string, values ...string) (found []*dto.Metric) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && hasValues(m, values) {
				found = append(found, m)
			}
		}
	}
	return found
}

func hasValues(m *dto.Metric, want []string) bool {
	have := map[string]bool{}
	for _, l := range m.GetLabel() {
		have[l.GetValue()] = true
	}
	for _, v := range want {
		if !have[v] {
			return false
		}
	}
	return true
}
