package epoll

import "golang.org/x/sys/unix"

// Interests and readiness of a descriptor, as in epoll_ctl(2).
const (
	Readable   uint32 = unix.EPOLLIN
	Writable   uint32 = unix.EPOLLOUT
	PeerClosed uint32 = unix.EPOLLRDHUP // the peer has shut down its writing half
	Broken     uint32 = unix.EPOLLERR | unix.EPOLLHUP
	Edge       uint32 = unix.EPOLLET
)

// Event is one descriptor's readiness.
type Event struct{ raw unix.EpollEvent }

// Token is what the descriptor was added with.
func (e *Event) Token() uint64 { return uint64(uint32(e.raw.Fd)) | uint64(uint32(e.raw.Pad))<<32 }

// Is tells whether any of the flags is set.
func (e *Event) Is(flags uint32) bool { return e.raw.Events&flags != 0 }

func makeEvent(flags uint32, token uint64) unix.EpollEvent {
	return unix.EpollEvent{Events: flags, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
}
