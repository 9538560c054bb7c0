package examples

import (
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"kanal/libs/requestchannel"
)

// tap listens to what handlers answer, and to what one of them is asked. While
// it does so NATS cannot tell the front end that nobody else listens there.
type tap struct {
	nc *nats.Conn

	mu      sync.Mutex
	asked   map[attempt]bool
	answers map[attempt]requestchannel.ResponseKind
}

// attempt is one dispatch of a request.
type attempt struct {
	id uint64
	n  uint8
}

func newTap(t *testing.T, url string) *tap {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	p := &tap{nc: nc, asked: map[attempt]bool{}, answers: map[attempt]requestchannel.ResponseKind{}}
	p.subscribe(t, "kanal.kanal.response.>", p.hearAnswer)
	return p
}

func (p *tap) subscribe(t *testing.T, subject string, hear nats.MsgHandler) *nats.Subscription {
	t.Helper()
	sub, err := p.nc.Subscribe(subject, hear)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = p.nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// follow listens to what an instance is asked until stop is called.
func (p *tap) follow(t *testing.T, instance string) (stop func()) {
	t.Helper()
	p.mu.Lock()
	clear(p.asked)
	p.mu.Unlock()
	sub := p.subscribe(t, "kanal.kanal.request."+instance, p.hearRequest)
	return func() {
		if err := errors.Join(sub.Unsubscribe(), p.nc.Flush()); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *tap) hearRequest(m *nats.Msg) {
	var r requestchannel.Request
	if requestchannel.ParseRequest(m.Data, &r) == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked[attempt{r.ID, r.Attempt}] = true
	}
}

func (p *tap) hearAnswer(m *nats.Msg) {
	var r requestchannel.Response
	if requestchannel.ParseResponse(m.Data, &r) == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answers[attempt{r.ID, r.Attempt}] = r.Kind
	}
}

// owed lists what the followed instance was asked and has not answered.
func (p *tap) owed() (out []attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.asked {
		if _, answered := p.answers[a]; !answered {
			out = append(out, a)
		}
	}
	return out
}

// count is how much the followed instance was asked.
func (p *tap) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

// answered gives the kinds of the answers to attempts, and how many have none.
func (p *tap) answered(attempts []attempt) (kinds map[requestchannel.ResponseKind]int, missing int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kinds = map[requestchannel.ResponseKind]int{}
	for _, a := range attempts {
		if kind, ok := p.answers[a]; ok {
			kinds[kind]++
		} else {
			missing++
		}
	}
	return kinds, missing
}
