package network

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"kanal/libs/epoll"
)

// Connect begins an outgoing plaintext connection. It shows up in Connected, or in Disconnected with
// ReasonConnectFailed. Sends may be queued at once; they are written when it stands.
func (s *Selector) Connect(address netip.AddrPort, attachment any) (*Channel, error) {
	family, sockaddr := sockaddrOf(address)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Connect(fd, sockaddr); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	c := &Channel{plain: plaintext{fd}, ready: true, Attachment: attachment, connecting: true, armed: true, full: true}
	c.transport = &c.plain
	if _, err := s.add(c, epoll.Readable|epoll.Writable); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

// finishConnect looks how the connection went; false when it failed.
func (s *Selector) finishConnect(c *Channel) bool {
	if err := socketError(c.plain.fd); err != nil {
		s.CloseChannel(c, ReasonConnectFailed, os.NewSyscallError("connect", err))
		return false
	}
	c.connecting, c.full = false, false
	s.connected.add(c)
	return true
}

func sockaddrOf(address netip.AddrPort) (int, unix.Sockaddr) {
	if ip := address.Addr().Unmap(); ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(address.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}
}
