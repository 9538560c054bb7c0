package requestchannel

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"kanal/libs/protocol"
)

// visible answers NATS' service protocol (ADR-32): `nats micro ls`, `info` and
// `stats` show this instance with an endpoint for each of its apis. Requests
// never come this way. micro.AddService counts what goes through subscriptions
// of its own, and has no door for other numbers, so only its types are used.
type visible struct {
	s        *Server
	identity micro.ServiceIdentity
	started  time.Time
	subs     []*nats.Subscription
}

// register makes the instance visible.
func (s *Server) register() (*visible, error) {
	v := &visible{s: s, started: time.Now().UTC(), identity: micro.ServiceIdentity{
		Name: "kanal-" + s.cfg.Service, ID: s.id, Version: s.cfg.Release,
		Metadata: map[string]string{"cluster": s.cfg.Cluster, "requests": s.cfg.Request(s.id)},
	}}
	for verb, answer := range map[micro.Verb]func() any{micro.PingVerb: v.ping, micro.InfoVerb: v.info, micro.StatsVerb: v.stats} {
		if err := v.answer(verb, answer); err != nil {
			return nil, fmt.Errorf("register as a NATS micro service: %w", errors.Join(err, v.stop()))
		}
	}
	return v, nil
}

// answer subscribes to the three subjects of a verb: of all services, of this
// one, of this instance.
func (v *visible) answer(verb micro.Verb, body func() any) error {
	for _, of := range [][2]string{{"", ""}, {v.identity.Name, ""}, {v.identity.Name, v.identity.ID}} {
		subject, err := micro.ControlSubject(verb, of[0], of[1])
		if err != nil {
			return err
		}
		sub, err := v.s.nc.Subscribe(subject, func(m *nats.Msg) { v.respond(m, body()) })
		if err != nil {
			return err
		}
		v.subs = append(v.subs, sub)
	}
	return nil
}

func (v *visible) respond(m *nats.Msg, body any) {
	b, err := json.Marshal(body)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		v.s.log.Debug("service protocol not answered", "subject", m.Subject, "err", err) // NATS is away, or nobody waits
	}
}

func (v *visible) ping() any {
	return micro.Ping{ServiceIdentity: v.identity, Type: micro.PingResponseType}
}

func (v *visible) info() any {
	info := micro.Info{ServiceIdentity: v.identity, Type: micro.InfoResponseType, Description: "Kanal handler service " + v.s.cfg.Service}
	v.each(func(name string, key protocol.APIKey, versions protocol.VersionRange) {
		e := micro.EndpointInfo{Name: name, Subject: v.s.cfg.Request(v.s.id)}
		if key >= 0 {
			e.Metadata = map[string]string{"key": strconv.Itoa(int(key)), "min": strconv.Itoa(int(versions.Min)), "max": strconv.Itoa(int(versions.Max))}
		}
		info.Endpoints = append(info.Endpoints, e)
	})
	return info
}

func (v *visible) stats() any {
	stats := micro.Stats{ServiceIdentity: v.identity, Type: micro.StatsResponseType, Started: v.started}
	v.each(func(name string, key protocol.APIKey, _ protocol.VersionRange) {
		a := v.s.served.of(key)
		n, took := a.requests.Load(), time.Duration(a.nanos.Load())
		stats.Endpoints = append(stats.Endpoints, &micro.EndpointStats{
			Name: name, Subject: v.s.cfg.Request(v.s.id), NumRequests: int(n), NumErrors: int(a.failures.Load()),
			ProcessingTime: took, AverageProcessingTime: took / time.Duration(max(1, n)),
		})
	})
	return stats
}

// each goes through the apis by key; a protocol other than Kafka's is one
// endpoint, frames.
func (v *visible) each(f func(name string, key protocol.APIKey, versions protocol.VersionRange)) {
	apis := v.s.cfg.APIs
	if len(apis) == 0 {
		f("frames", -1, protocol.VersionRange{})
	}
	for _, key := range slices.Sorted(maps.Keys(apis)) {
		f(key.String(), key, apis[key])
	}
}

func (v *visible) stop() (err error) {
	for _, sub := range v.subs {
		err = errors.Join(err, sub.Unsubscribe())
	}
	return err
}
