package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Connector opens NATS connections with the options that the request channel
// relies on. It keeps trying until ctx ends.
func Connector(ctx context.Context, to NATS, log *slog.Logger) func(string, ...nats.Option) (*nats.Conn, error) {
	return func(name string, opts ...nats.Option) (*nats.Conn, error) {
		opts = append(options(name, log), opts...)
		for warned := false; ; warned = true {
			nc, err := to.Dial(opts...)
			if err == nil {
				return nc, nil
			}
			if !warned {
				log.Warn("waiting for NATS", "err", err, "set", "KANAL_NATS_URL")
			}
			select {
			case <-ctx.Done():
				return nil, err
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
}

func options(name string, log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		// Requests wait in our queues while NATS is away, where they are counted
		// and have deadlines, and not in the client library.
		nats.ReconnectBufSize(-1),
		// A stalled server blocks Publish; this turns it into an error and a
		// reconnect.
		nats.FlusherTimeout(2 * time.Second),
		nats.ReconnectOnFlusherError(),
		nats.PingInterval(500 * time.Millisecond),
		nats.MaxPingsOutstanding(4),
		nats.WriteBufferSize(64 << 10),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost NATS; requests wait", "connection", name, "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("reconnected to NATS", "connection", name, "url", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("NATS reported an error", "connection", name, "subject", subject, "err", err)
		}),
	}
}
