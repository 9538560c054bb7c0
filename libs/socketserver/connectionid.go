package socketserver

import (
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// connectionID is localHost:localPort-remoteHost:remotePort-processor-index (E3): numeric addresses, IPv6 without
// brackets.
func connectionID(local, remote netip.AddrPort, processor int, index int32) string {
	b := make([]byte, 0, 64)
	b = appendEndpoint(b, local)
	b = append(b, '-')
	b = appendEndpoint(b, remote)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(processor), 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(index), 10)
	return string(b)
}

func appendEndpoint(b []byte, a netip.AddrPort) []byte {
	b = a.Addr().AppendTo(b)
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(a.Port()), 10)
}

// localAddress asks the socket: behind a wildcard only it knows which address the client chose.
func localAddress(fd int) (netip.AddrPort, error) {
	sockaddr, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	return addrPort(sockaddr), nil
}

func addrPort(sockaddr unix.Sockaddr) netip.AddrPort {
	switch a := sockaddr.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
