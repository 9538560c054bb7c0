package takeover

import (
	"fmt"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Activated are the sockets that a service manager opened for this process
// (LISTEN_FDS, sd_listen_fds(3)), whose connections wait while it restarts. Only
// the first call gives them. They are the caller's.
func Activated() (fds []int, _ error) {
	for _, f := range activation.Files(true) {
		// A duplicate, because a File closes its descriptor some day.
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		_ = f.Close() // nothing was written
		if err != nil {
			Close(fds)
			return nil, fmt.Errorf("takeover: sockets of LISTEN_FDS: %w", err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}
