package peer

import (
	"fmt"
	"net"

	"github.com/panjf2000/gnet/v2"
)

// gnetEcho answers in the event loop, as gnet's users do for what does not block.
type gnetEcho struct {
	gnet.BuiltinEventEngine
	started chan struct{}
}

func (e *gnetEcho) OnBoot(gnet.Engine) gnet.Action {
	close(e.started)
	return gnet.None
}

func (e *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Peek(-1)
	if n := whole(b); n > 0 {
		_, _ = c.Write(b[:n]) // an error closes the connection, which the client reports
		_, _ = c.Discard(n)
	}
	return gnet.None
}

func startGnet() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", err
	}
	e, failed := &gnetEcho{started: make(chan struct{})}, make(chan error, 1)
	go func() { failed <- gnet.Run(e, "tcp://"+addr, gnet.WithMulticore(true), gnet.WithLogger(silent{})) }()
	select {
	case <-e.started:
		return addr, nil
	case err := <-failed:
		return "", fmt.Errorf("gnet: %w", err)
	}
}

// silent drops what gnet logs: it would stand between the results.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}
