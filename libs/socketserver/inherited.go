package socketserver

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// inherited are listening sockets that another process opened, by their addresses: a listener whose port is among them
// takes the socket, with all the connections that wait in it, and opens none. They belong to whoever holds the
// server's mu.
type inherited map[netip.AddrPort]int

var errNotListening = errors.New("is no listening TCP socket")

// Inherit gives the server listening sockets that another process has opened, before Start. They are the server's;
// those that no listener took are closed by DropInherited. An error says which is none, and leaves all to the caller.
func (s *Server) Inherit(fds []int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := inherited{}
	var twice []int
	for _, fd := range fds {
		address, err := listeningAddress(fd)
		if err != nil {
			return fmt.Errorf("inherited descriptor %d: %w", fd, err)
		}
		if _, known := found[address]; known {
			twice = append(twice, fd)
			continue
		}
		found[address] = fd
	}
	for _, fd := range twice { // the same socket, or one that shares its port
		_ = unix.Close(fd)
	}
	s.inherited = found
	return nil
}

// listeningAddress is that of a listening TCP socket, which is made non-blocking.
func listeningAddress(fd int) (netip.AddrPort, error) {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockopt", err)
	}
	address, err := localAddress(fd)
	if err == nil && (listens == 0 || !address.IsValid()) {
		err = errNotListening
	}
	if err != nil {
		return netip.AddrPort{}, err
	}
	return address, os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
}

// DropInherited closes the inherited sockets that no listener took, and tells their addresses. After it ports are
// opened anew.
func (s *Server) DropInherited() (left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, fd := range s.inherited {
		left = append(left, address.String())
		_ = unix.Close(fd) // nothing was written
	}
	s.inherited = nil
	return left
}

// Listening gives duplicates of the listening sockets, which are the caller's.
func (s *Server) Listening() (fds []int, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.acceptors {
		for _, l := range a.sockets {
			fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				for _, fd := range fds {
					_ = unix.Close(fd) // nothing was written
				}
				return nil, fmt.Errorf("listener %s: %w", a.listener.Name, os.NewSyscallError("fcntl", err))
			}
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

// take gives the inherited socket of an address the options of a listener.
func (i inherited) take(l *ListenerConfig, address netip.AddrPort) (listening, bool, error) {
	fd, found := i[address]
	if !found {
		return listening{}, false, nil
	}
	if err := l.setUp(fd); err != nil {
		return listening{}, true, os.NewSyscallError("setsockopt", err)
	}
	delete(i, address)
	return listening{fd: fd, address: address}, true, nil
}
