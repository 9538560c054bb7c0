package socketserver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pires/go-proxyproto"

	"kanal/libs/network"
)

// ProxyMode says what a listener does with PROXY headers, by which proxies and load balancers tell whose connection it
// is (weakness 14 of Kafka, which has none of it).
type ProxyMode uint8

const (
	ProxyOff     ProxyMode = iota
	ProxyAccept            // a trusted address may send one; others are clients themselves
	ProxyRequire           // only trusted addresses may connect, and send one
)

// String is the mode's name in configuration.
func (m ProxyMode) String() string { return [...]string{"off", "accept", "require"}[m] }

// ProxyConfig is a listener's. The header, of version 1 or 2, comes before everything else, TLS included, within
// ListenerConfig.HandshakeTimeout. From then on its source is the client's address: in ids, logs and quotas.
type ProxyConfig struct {
	Mode    ProxyMode
	Trusted []netip.Prefix // who may send one
}

func (c *ProxyConfig) validate() error {
	if c.Mode != ProxyOff && len(c.Trusted) == 0 {
		return fmt.Errorf("PROXY protocol %s, and nobody who may send a header", c.Mode)
	}
	return nil
}

// trusts tells that an address may send a header.
func (c *ProxyConfig) trusts(a netip.Addr) bool {
	if c.Mode == ProxyOff {
		return false
	}
	for _, p := range c.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// proxyHeader reads a new connection's header and makes the connection that of the client it names. What connects for
// itself, as health checks do (LOCAL), keeps its own address.
func (p *Processor) proxyHeader(c *connection, index int32, remote, local netip.AddrPort) network.Preface {
	return func(arrived []byte) (int, bool, error) {
		source, n, err := parseProxyHeader(arrived)
		switch {
		case errors.Is(err, errNoProxyHeader) && p.listener.Proxy.Mode == ProxyAccept:
		case err != nil:
			return 0, false, &network.LayerError{Reason: network.ReasonInvalidProxyHeader, Err: err}
		case n == 0:
			return 0, false, nil
		}
		if !source.IsValid() {
			source = remote
		}
		c.ID, c.ClientAddress = connectionID(local, source, p.id, index), source.Addr().String()
		if v := c.slot.reveal(source.Addr(), Now()); !v.admitted {
			return 0, false, &network.LayerError{Reason: v.reason, Err: fmt.Errorf("limit %d", v.limit)}
		}
		return n, true, nil
	}
}

// The two signatures, and the longest header taken: version 1 has at most 107 bytes by its specification, version 2 is
// 16 bytes, addresses and extras that no known proxy fills a KiB with.
var (
	proxySignature1 = []byte("PROXY ")
	proxySignature2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

const (
	longestProxyHeader1 = 107
	longestProxyHeader2 = 4 << 10
)

var (
	errNoProxyHeader   = errors.New("no PROXY header")
	errLongProxyHeader = errors.New("PROXY header too long")
)

// parseProxyHeader gives the source, invalid where there is none, and the header's length, 0 while it is not complete.
func parseProxyHeader(b []byte) (source netip.AddrPort, n int, err error) {
	if n, err = proxyHeaderLength(b); n == 0 || err != nil {
		return source, 0, err
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:n]), longestProxyHeader2))
	if err != nil {
		return source, 0, err
	}
	if from, _, ok := h.TCPAddrs(); ok && h.Command == proxyproto.PROXY {
		a := from.AddrPort()
		source = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
	}
	return source, n, nil
}

// proxyHeaderLength is 0 while it is not known, or not all is there.
func proxyHeaderLength(b []byte) (int, error) {
	switch {
	case begins(b, proxySignature2):
		if len(b) < 16 {
			return 0, nil
		}
		n := 16 + int(binary.BigEndian.Uint16(b[14:]))
		if n > longestProxyHeader2 {
			return 0, errLongProxyHeader
		}
		if len(b) < n {
			return 0, nil
		}
		return n, nil
	case begins(b, proxySignature1):
		end := bytes.IndexByte(b[:min(len(b), longestProxyHeader1)], '\n')
		if end < 0 && len(b) >= longestProxyHeader1 {
			return 0, errLongProxyHeader
		}
		return end + 1, nil
	}
	return 0, errNoProxyHeader
}

// begins tells that one of the two is the beginning of the other.
func begins(b, signature []byte) bool {
	n := min(len(b), len(signature))
	return bytes.Equal(b[:n], signature[:n])
}
