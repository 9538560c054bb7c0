// Package handler turns a function per api into a handler service: Mux maps
// api keys to functions and decodes their requests with kmsg, a pool of
// goroutines runs them, and Server connects both to the request channel. Its
// Kafka counterparts are KafkaRequestHandlerPool and KafkaApis.
package handler

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// Mux is a table from api key to function, filled before it serves.
type Mux struct {
	log     *slog.Logger
	entries map[protocol.APIKey]*entry
}

type entry struct {
	metrics  *apiMetrics // nil before the mux is a server's
	versions protocol.VersionRange
	f        Func
	ordered  bool
	internal bool
}

// Option changes how an api is announced.
type Option func(*entry)

// Ordered marks an api whose requests must go one after the other on a
// connection even where a front end reads ahead.
func Ordered(e *entry) { e.ordered = true }

// Internal marks an api that is for the cluster's own services (Asker) and is
// not announced: front ends refuse it to clients.
func Internal(e *entry) { e.internal = true }

// NewMux makes an empty mux.
func NewMux() *Mux {
	return &Mux{log: slog.New(slog.DiscardHandler), entries: map[protocol.APIKey]*entry{}}
}

// Handle registers the function of an api and the versions it answers. A key
// that is registered twice, or a range that kmsg cannot decode, is a
// programmer's mistake and panics.
func (m *Mux) Handle(key protocol.APIKey, oldest, newest int16, f Func, opts ...Option) {
	if _, twice := m.entries[key]; twice {
		panic(fmt.Sprintf("handler: %s registered twice", key))
	}
	if q := kmsg.RequestForKey(int16(key)); q == nil || newest > q.MaxVersion() || oldest > newest || oldest < 0 {
		panic(fmt.Sprintf("handler: %s cannot be answered at versions %d to %d", key, oldest, newest))
	}
	e := &entry{versions: protocol.VersionRange{Min: oldest, Max: newest}, f: f}
	for _, o := range opts {
		o(e)
	}
	m.entries[key] = e
}

// measure gives every api its metrics.
func (m *Mux) measure(metrics *Metrics) {
	for key, e := range m.entries {
		e.metrics = metrics.of(key)
	}
}

// Ranges gives the registered versions, without those of internal apis.
func (m *Mux) Ranges() protocol.Ranges {
	out := make(protocol.Ranges, len(m.entries))
	for key, e := range m.entries {
		if !e.internal {
			out[key] = e.versions
		}
	}
	return out
}

// OrderedKeys lists the apis registered with Ordered.
func (m *Mux) OrderedKeys() (keys []protocol.APIKey) {
	for key, e := range m.entries {
		if e.ordered {
			keys = append(keys, key)
		}
	}
	return keys
}

// Serve answers one request. It ends it in every case, a panic of the function
// included.
func (m *Mux) Serve(in *requestchannel.Incoming) {
	r := &Request{Incoming: in}
	defer m.recover(r)
	e, err := m.decode(r)
	if err != nil {
		m.log.Warn("closed a connection: request not readable", "api", in.APIKey, "version", in.APIVersion, "conn", in.ConnectionID, "err", err)
		in.Close()
		return
	}
	response, err := e.f(in, r)
	if err != nil {
		m.end(r, e, response, err)
		return
	}
	m.send(r, e, response)
}

// decode checks the api gate again (L3: a front end may know another version
// of this service) and decodes the body (L4).
func (m *Mux) decode(r *Request) (*entry, error) {
	if err := protocol.ParseHeader(r.Frame, &r.Header); err != nil {
		return nil, err
	}
	e, known := m.entries[r.Header.Key]
	if !known || !e.versions.Contains(r.Header.Version) {
		return nil, fmt.Errorf("%s version %d is not answered here", r.Header.Key, r.Header.Version)
	}
	r.ClientID = string(r.Header.ClientID)
	r.Body = kmsg.RequestForKey(int16(r.Header.Key))
	r.Body.SetVersion(r.Header.Version)
	if err := r.Body.ReadFrom(r.Frame[r.Header.Body:]); err != nil {
		return nil, fmt.Errorf("decode %s version %d: %w", r.Header.Key, r.Header.Version, err)
	}
	return e, nil
}

func (m *Mux) end(r *Request, e *entry, response kmsg.Response, err error) {
	var to redirect
	switch {
	case errors.Is(err, ErrNoResponse):
		r.NoOp()
	case errors.Is(err, ErrCloseConnection):
		if response != nil {
			response.SetVersion(r.Header.Version)
			e.metrics.count(response)
		}
		r.Incoming.Close()
	case errors.Is(err, ErrNotTaken):
		r.Refuse()
	case errors.As(err, &to):
		r.Incoming.Redirect(to.instance)
	default:
		e.metrics.failed()
		m.log.Error("closed a connection: handler failed", "api", r.APIKey, "version", r.APIVersion, "conn", r.ConnectionID, "client", r.ClientID, "err", err)
		r.Incoming.Close()
	}
}

func (m *Mux) send(r *Request, e *entry, response kmsg.Response) {
	response.SetVersion(r.Header.Version)
	answer := requestchannel.Answer{Append: func(b []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, uint32(r.Header.CorrelationID))
		if r.Header.Key.ResponseHeaderFlexible(r.Header.Version) {
			b = append(b, 0) // no tagged fields
		}
		return response.AppendTo(b)
	}}
	if t, ok := response.(kmsg.ThrottleResponse); ok {
		if millis, after := t.Throttle(); after {
			answer.Throttle = time.Duration(millis) * time.Millisecond
		}
	}
	e.metrics.answered(response)
	r.Send(answer)
}

// recover turns a panic into a closed connection: one bad request must not take
// the others with it.
func (m *Mux) recover(r *Request) {
	if p := recover(); p != nil {
		if e := m.entries[r.APIKey]; e != nil {
			e.metrics.failed()
		}
		m.log.Error("closed a connection: handler panicked", "api", r.APIKey, "version", r.APIVersion, "conn", r.ConnectionID, "err", p, "stack", string(debug.Stack()))
		r.Incoming.Close()
	}
}

var _ context.Context = (*requestchannel.Incoming)(nil)
