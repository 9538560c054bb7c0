package handler

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// Asker sends a service's own requests to another service, past the front ends
// (Kafka's InterBrokerSendThread): transaction markers, and what a partition
// asks about a transaction. A request whose outcome is not known is sent again,
// so only what may be executed twice may be asked. Any goroutine may use it; it
// limits nothing: who asks bounds how much is under way.
type Asker struct {
	nc       *nats.Conn
	subjects requestchannel.Subjects
	view     *requestchannel.View
	origin   []byte
	ids      atomic.Uint64
}

// NewAsker makes the asker of a service. The connection and the view stay the
// caller's.
func NewAsker(subjects requestchannel.Subjects, service, instance string, nc *nats.Conn, view *requestchannel.View) *Asker {
	return &Asker{nc: nc, subjects: subjects, view: view, origin: requestchannel.AppendOrigin(nil, requestchannel.Origin{
		FrontEnd: instance, ConnectionID: service + "-" + instance, Principal: "User:" + service, SoftwareName: "kanal-" + service,
	})}
}

// Bounds of one try, and the pause after one that failed.
const (
	askTimeout = 2 * time.Second
	askPause   = 20 * time.Millisecond
)

// Ask has the instance that holds a broker of a service answer a request, and
// tries again until ctx ends.
func (a *Asker) Ask(ctx context.Context, service string, broker int32, q kmsg.Request) (kmsg.Response, error) {
	target := ""
	for redirects := uint8(0); ; {
		r, err := a.try(ctx, service, target, broker, redirects, q)
		switch {
		case err == nil && r.Kind == requestchannel.Send:
			return answer(q, r.Frame)
		case err == nil && r.Kind == requestchannel.Redirect:
			target = r.Target
			redirects++
			continue
		case err == nil:
			err = fmt.Errorf("handler: %s answered %s", service, r.Kind)
		}
		target = ""
		select {
		case <-time.After(askPause):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// try sends the request to one instance.
func (a *Asker) try(ctx context.Context, service, target string, broker int32, redirects uint8, q kmsg.Request) (r requestchannel.Response, err error) {
	h, err := a.find(service, target, broker)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, err := a.nc.RequestWithContext(ctx, a.subjects.Request(h.ID), a.envelope(h, broker, redirects, q))
	if errors.Is(err, nats.ErrNoResponders) {
		a.view.Ban(h.ID, h.Number)
	}
	if err != nil {
		return r, fmt.Errorf("ask %s: %w", service, err)
	}
	err = requestchannel.ParseResponse(m.Data, &r)
	return r, err
}

// find is the instance named, or else the one that holds the broker.
func (a *Asker) find(service, target string, broker int32) (*requestchannel.Handler, error) {
	if target == "" {
		target, _ = a.view.Holder(service, broker)
	}
	for _, h := range a.view.Handlers() {
		if h.ID == target && h.Service == service {
			return &h, nil
		}
	}
	return nil, fmt.Errorf("ask %s: no instance is there", service)
}

func (a *Asker) envelope(h *requestchannel.Handler, broker int32, redirects uint8, q kmsg.Request) []byte {
	id := a.ids.Add(1)
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("kanal")).AppendRequest(nil, q, int32(id))[4:]
	b := requestchannel.AppendRequest(make([]byte, 0, len(a.origin)+len(frame)+128), &requestchannel.Request{
		ID: id, Announcement: h.Number, APIKey: protocol.APIKey(q.Key()), APIVersion: q.GetVersion(), Broker: broker,
		Deadline: askTimeout, Granted: requestchannel.LargeFrame, Parts: 1, Total: uint32(len(frame)),
		Redirects: redirects, MustServe: redirects >= requestchannel.MustServeAfter, Privileged: true,
	}, a.origin)
	return append(b, frame...)
}

// answer decodes a response frame: correlation id, tagged fields where the
// version has them, body.
func answer(q kmsg.Request, frame []byte) (kmsg.Response, error) {
	head := 4
	if protocol.APIKey(q.Key()).ResponseHeaderFlexible(q.GetVersion()) {
		head++ // no tagged fields are ever sent
	}
	if len(frame) < head {
		return nil, fmt.Errorf("handler: answer of %d bytes", len(frame))
	}
	r := q.ResponseKind()
	r.SetVersion(q.GetVersion())
	if err := r.ReadFrom(frame[head:]); err != nil {
		return nil, fmt.Errorf("handler: read answer to api %d: %w", q.Key(), err)
	}
	return r, nil
}
