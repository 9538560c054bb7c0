package socketserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/network"
	"kanal/libs/ssl"
)

const (
	// handshakesUnderWay bounds the memory of handshakes, some 20 KiB each.
	handshakesUnderWay = 1024
	// certificatesEvery is how often certificate files are looked at.
	certificatesEvery = time.Second
)

// listenerTLS is what the processors of a listener share; nil without TLS.
type listenerTLS struct {
	factory    *ssl.Factory
	handshakes *network.Handshakes
	completed  prometheus.Counter
	encrypted  *population

	// owned by the acceptor
	watching sync.WaitGroup
	unwatch  context.CancelFunc
}

// newListenerTLS reads a listener's certificates.
func newListenerTLS(l *ListenerConfig, h *network.Handshakes, m *metrics, log *slog.Logger) (t *listenerTLS, err error) {
	if !l.encrypted() {
		return nil, nil
	}
	t = &listenerTLS{handshakes: h, completed: m.handshakes.WithLabelValues(l.Name), encrypted: m.encrypted}
	loaded, refused := m.loads.WithLabelValues(l.Name, "loaded"), m.loads.WithLabelValues(l.Name, "refused")
	expiry := m.expiry.WithLabelValues(l.Name)
	t.factory, err = ssl.NewFactory(l.TLS, log, func(e *ssl.Engine, err error) {
		if err != nil {
			refused.Inc()
			return
		}
		loaded.Inc()
		expiry.Set(float64(e.Expires().Unix()))
	})
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", l.Name, err)
	}
	expiry.Set(float64(t.factory.Engine().Expires().Unix()))
	return t, nil
}

func handshakeGauges(h *network.Handshakes) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		gauge("kanal_tls_handshakes_under_way", "TLS handshakes that have begun and are not over.", func() float64 {
			underWay, _ := h.Counts()
			return float64(underWay)
		}),
		gauge("kanal_tls_handshakes_waiting", "TLS handshakes that wait until fewer are under way.", func() float64 {
			_, waiting := h.Counts()
			return float64(waiting)
		}),
	}
}

// watch looks at the files while connections are accepted, until stop.
func (t *listenerTLS) watch() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.unwatch = cancel
	t.watching.Go(func() { t.factory.Watch(ctx, certificatesEvery) })
}

func (t *listenerTLS) stop() {
	if t == nil || t.unwatch == nil {
		return
	}
	t.unwatch()
	t.watching.Wait()
}

// UpdateTLS makes new connections of a listener use another configuration, with the files read anew; open connections
// keep theirs. An error changes nothing (P21).
func (s *Server) UpdateTLS(listener string, cfg ssl.Config) error {
	s.mu.Lock()
	a := s.acceptor(listener)
	s.mu.Unlock()
	switch {
	case a == nil:
		return fmt.Errorf("%w: %q", ErrNoListener, listener)
	case a.tls == nil:
		return fmt.Errorf("%w: %q", ErrNoTLS, listener)
	}
	return a.tls.factory.Update(cfg)
}

// layers are those of a new connection.
func (t *listenerTLS) layers() network.Layers {
	if t == nil {
		return network.Layers{}
	}
	return network.Layers{TLS: t.factory.Engine().TLS, Handshakes: t.handshakes}
}

// processPrepared notes who came, before the first request.
func (p *Processor) processPrepared() {
	for _, ch := range p.sel.Prepared() {
		if state, ok := ch.TLS(); ok && !ch.Closed() {
			p.identify(ch, &state)
		}
		if p.orders.retire {
			p.toMove = append(p.toMove, ch.Token())
		}
	}
}

// identify takes down what the handshake settled. A certificate that no rule maps is as good as none (P17).
func (p *Processor) identify(ch *network.Channel, state *tls.ConnectionState) {
	p.tls.completed.Inc()
	c := ch.Attachment.(*connection)
	c.TLSProtocol, c.TLSCipher = protocolName(state.Version), tls.CipherSuiteName(state.CipherSuite)
	c.tls = p.tls.encrypted.join(c.TLSProtocol, c.TLSCipher)
	if len(state.PeerCertificates) == 0 {
		return
	}
	name, err := p.tls.factory.Engine().Mapper.Name(ssl.DistinguishedName(state.PeerCertificates[0]))
	if err != nil {
		p.close(ch, network.ReasonTLSCertificateRefused, err)
		return
	}
	c.Principal = "User:" + name
}

// protocolName is a version as Kafka's settings and metrics have it.
func protocolName(version uint16) string {
	switch version {
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return tls.VersionName(version)
}
