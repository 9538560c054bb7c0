package socketserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// listening is one bound socket of a listener.
type listening struct {
	fd      int
	broker  int32
	address netip.AddrPort
}

// bind binds every port of a listener without listening: nobody can connect yet (B1). Ports that were inherited are
// listened on already.
func (l *ListenerConfig) bind(from inherited) (bound []listening, err error) {
	defer func() {
		if err != nil {
			closeAll(bound)
			bound, err = nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
	}()
	addresses, err := resolve(l.Host)
	if err != nil {
		return nil, err
	}
	for broker, port := range l.ports() {
		if bound, err = l.bindPort(from, bound, addresses, port, broker); err != nil {
			return bound, err
		}
	}
	return bound, nil
}

// ports gives the port of each broker, 0 being the bootstrap port.
func (l *ListenerConfig) ports() map[int32]int {
	if l.Brokers == 1 {
		return map[int32]int{1: l.Port}
	}
	ports := map[int32]int{0: l.Port}
	for broker := int32(1); int(broker) <= l.Brokers; broker++ {
		if ports[broker] = 0; l.Port != 0 {
			ports[broker] = l.Port + int(broker)
		}
	}
	return ports
}

// freePortTries bounds the search for a free port that is free on all addresses.
const freePortTries = 16

func (l *ListenerConfig) bindPort(from inherited, bound []listening, addresses []netip.Addr, port int, broker int32) ([]listening, error) {
	for try := 1; ; try++ {
		more, err := l.bindAddresses(from, addresses, port, broker)
		if err == nil {
			return append(bound, more...), nil
		}
		if port == 0 && try < freePortTries && errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if errors.Is(err, unix.EADDRINUSE) {
			return bound, fmt.Errorf("port %d of host %q is in use, stop what uses it or configure another port: %w", port, l.Host, err)
		}
		return bound, fmt.Errorf("port %d of host %q: %w", port, l.Host, err)
	}
}

// bindAddresses binds the same port on several addresses. An address whose family the machine lacks is left out as long
// as another can be had.
func (l *ListenerConfig) bindAddresses(from inherited, addresses []netip.Addr, port int, broker int32) (bound []listening, err error) {
	for _, a := range addresses {
		s, found, bindErr := from.take(l, netip.AddrPortFrom(a, uint16(port)))
		if !found {
			s, bindErr = l.bindAddress(netip.AddrPortFrom(a, uint16(port)))
		}
		switch {
		case bindErr == nil:
			s.broker, port = broker, int(s.address.Port())
			bound = append(bound, s)
		case errors.Is(bindErr, unix.EAFNOSUPPORT) || errors.Is(bindErr, unix.EADDRNOTAVAIL):
			err = bindErr
		default:
			closeAll(bound)
			return nil, bindErr
		}
	}
	if len(bound) > 0 {
		return bound, nil
	}
	return nil, err
}

func (l *ListenerConfig) bindAddress(a netip.AddrPort) (listening, error) {
	family, sockaddr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(a.Port())})
	if a.Addr().Is4() {
		sockaddr.(*unix.SockaddrInet4).Addr = a.Addr().As4()
	} else {
		family, sockaddr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return listening{}, os.NewSyscallError("socket", err)
	}
	local, err := l.bindSocket(fd, family, sockaddr)
	if err != nil {
		unix.Close(fd)
		return listening{}, err
	}
	return listening{fd: fd, address: local}, nil
}

func (l *ListenerConfig) bindSocket(fd, family int, sockaddr unix.Sockaddr) (netip.AddrPort, error) {
	err := l.setUp(fd)
	if family == unix.AF_INET6 { // [::] takes IPv4 as well
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0))
	}
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, sockaddr); err != nil {
		return netip.AddrPort{}, os.NewSyscallError("bind", err)
	}
	return localAddress(fd)
}

// setUp sets the options; accepted sockets inherit them (C3). The receive buffer counts for the window scale that the
// handshake settles, so it must be there before (C1).
func (l *ListenerConfig) setUp(fd int) error {
	options := [][3]int{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, // or a restart would wait for the connections of before
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	}
	for option, size := range map[int]int{unix.SO_SNDBUF: l.SendBuffer, unix.SO_RCVBUF: l.ReceiveBuffer} {
		if size > 0 {
			options = append(options, [3]int{unix.SOL_SOCKET, option, size})
		}
	}
	var errs []error
	for _, o := range options {
		errs = append(errs, unix.SetsockoptInt(fd, o[0], o[1], o[2]))
	}
	return errors.Join(errs...)
}

// resolve gives the addresses to bind for a configured host.
func resolve(host string) ([]netip.Addr, error) {
	switch host {
	case "":
		if haveIPv6() {
			return []netip.Addr{netip.IPv6Unspecified()}, nil
		}
		return []netip.Addr{netip.IPv4Unspecified()}, nil
	case "localhost": // whatever a resolver says: clients try either loopback
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up host %s: %w", host, err)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}

func haveIPv6() bool {
	s, err := new(ListenerConfig).bindAddress(netip.AddrPortFrom(netip.IPv6Unspecified(), 0))
	if err == nil {
		unix.Close(s.fd)
	}
	return err == nil
}

func (s listening) listen(backlog int) error {
	if err := unix.Listen(s.fd, backlog); err != nil {
		return fmt.Errorf("port %s: %w", strconv.Itoa(int(s.address.Port())), os.NewSyscallError("listen", err))
	}
	return nil
}

func closeAll(sockets []listening) {
	for _, s := range sockets {
		_ = unix.Close(s.fd)
	}
}
