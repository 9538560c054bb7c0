package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// What can be wrong with an answer, beside Kafka's own errors.
var (
	errDiffers     = errors.New("answer differs from request")
	errCorrelation = errors.New("answer to another request")
	errUnreadable  = errors.New("answer cannot be read")
	errEmpty       = errors.New("answer lacks what was asked for")
)

// exchange is one connection's side of a mode. It belongs to a worker.
type exchange interface {
	// next gives the frame of the next request. It may use buf, the frame that
	// an earlier call gave for a request that is over.
	next(buf []byte) []byte
	// judge says what is wrong with the answer to a request.
	judge(request, answer []byte) error
}

// plan is a mode, ready to run.
type plan struct {
	limit    int  // bytes of the largest answer
	silent   bool // requests have no answer: over when sent (acks=0)
	records  int  // in each request
	exchange func(connection int) exchange
	address  func(connection int) netip.AddrPort
}

// prepare looks at the server once, so that what cannot work fails before the
// load begins.
func prepare(ctx context.Context, cfg Config) (*plan, error) {
	addr, err := resolve(cfg.Addr)
	if err != nil {
		return nil, err
	}
	p := &plan{limit: maxFrame, address: func(int) netip.AddrPort { return addr }}
	switch cfg.Mode {
	case ModeFrames:
		err = p.frames(cfg)
	case ModeApiVersions:
		err = p.kafka(ctx, cfg, apiVersions())
	case ModeMetadata:
		err = p.kafka(ctx, cfg, metadata(cfg.Topic, false))
	case ModeProduce:
		err = p.produce(ctx, cfg)
	}
	return p, err
}

// resolve gives one address of a host.
func resolve(hostPort string) (netip.AddrPort, error) {
	a, err := net.ResolveTCPAddr("tcp", hostPort)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("resolve %s: %w", hostPort, err)
	}
	if a.IP == nil { // ":9092" means this machine
		a.IP = net.IPv4(127, 0, 0, 1)
	}
	addr := a.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}
