package frontend

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// ownDescriptors is what a front end opens besides clients' sockets: connections to NATS, the status port, and of each
// processor epoll and eventfd. It is generous, since other services may share the process.
const ownDescriptors = 256

// descriptorLimit is how many descriptors the process may open. Go has raised it to the hard limit.
func descriptorLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || r.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(r.Cur)
}

// checkDescriptors reports a KANAL_MAX_CONNECTIONS that the process has no descriptors for.
func (c Config) checkDescriptors(limit int) error {
	if c.MaxConnections >= unlimited || c.MaxConnections+ownDescriptors <= limit {
		return nil
	}
	return fmt.Errorf("KANAL_MAX_CONNECTIONS is \"%d\": must be at most %d, because this process may open %d files and sockets (ulimit -n) and needs %d itself; or raise ulimit -n to %d",
		c.MaxConnections, max(limit-ownDescriptors, 1), limit, ownDescriptors, c.MaxConnections+ownDescriptors)
}

// maxConnections is the limit of connections in total. Where none is set it is what the descriptors allow, so that the
// acceptor waits for one to close instead of running out of them; an eighth is left for the files of services in the
// same process.
func (c Config) maxConnections(descriptors int) int {
	if n := limit(c.MaxConnections); n > 0 {
		return n
	}
	return max(descriptors-max(ownDescriptors, descriptors/8), 1)
}
