package requestchannel

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// listen subscribes to a response subject.
func (c *Channel) listen(nc *nats.Conn, subject string) (*nats.Subscription, error) {
	sub, err := nc.Subscribe(subject, c.receive)
	if err == nil {
		// Grants bound what can be pending; the client library's own limits
		// would drop silently.
		err = sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to responses: %w", err)
	}
	return sub, nil
}

// receive takes one message of a response subject, on its subscription's goroutine.
func (c *Channel) receive(m *nats.Msg) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		subject := m.Header.Get("Nats-Subject")
		c.inbox.put(func(in *inbox) { in.deaf = append(in.deaf, subject) })
		return
	}
	a := arrival{at: c.cfg.Now()}
	if err := ParseResponse(m.Data, &a.Response); err != nil {
		c.cfg.Metrics.invalid.Inc()
		c.log.Warn("ignored an invalid response", "subject", m.Subject, "err", err)
		return
	}
	c.inbox.put(func(in *inbox) { in.arrived = append(in.arrived, a) })
}
