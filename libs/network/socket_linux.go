package network

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call on a non-blocking socket that moves little is over before Go's scheduler could make use of being told about
// it: telling costs as much as the call, and lets the monitor take the loop's P away in a write that wakes its peer.
// Nor are they read(2) and write(2), which go through the file layer first. Together that is a sixth of the processor
// time of a small request (BenchmarkProcessorEcho).

// briefBytes is what a call may move without telling the scheduler: 20 us at the most.
const briefBytes = 64 << 10

func recv(fd int, p []byte) (int, error) {
	if len(p) > briefBytes {
		return unix.Read(fd, p)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func send(fd int, p []byte) (int, error) {
	if len(p) > briefBytes {
		return unix.Write(fd, p)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
